//! The level structure: whether the file is a sound database. It is checked right after the copy, when most of it is
//! still in memory.

use std::fs::File;

use super::file_thread::run_on_file;
use crate::error::Result;
use crate::util::events::Events;
use etcd_snapshot::{Contents, Options, Problem};

/// The result of the level structure.
#[derive(Debug)]
pub enum StructureCheck {
    NotChecked,
    Sound(Box<Contents>),
    Bad(Problem),
    /// The file could not be read back; the reason.
    Unreadable(String),
}

impl StructureCheck {
    /// Returns the figures of a sound file.
    pub fn contents(&self) -> Option<&Contents> {
        match self {
            StructureCheck::Sound(contents) => Some(contents),
            _ => None,
        }
    }

    /// Returns the result as documents and tables name it.
    pub fn label(&self) -> &'static str {
        match self {
            StructureCheck::NotChecked | StructureCheck::Unreadable(_) => "not checked",
            StructureCheck::Sound(_) => "verified",
            StructureCheck::Bad(_) => "failed",
        }
    }
}

/// Checks the whole database in `file`, of `size` bytes. `revision`: one whose hash will be asked for later.
///
/// # Errors
/// The check itself failed; a file that cannot be read is [`StructureCheck::Unreadable`].
pub async fn check_structure(
    file: &File,
    size: u64,
    revision: Option<i64>,
    events: &dyn Events,
) -> Result<StructureCheck> {
    let progress = events.check_progress(size);
    let checked = run_on_file(file, progress, move |file, watch| {
        // The copy has computed the checksum already.
        let revisions = revision.into_iter().collect();
        etcd_snapshot::check(file, &Options { checksum: false, revisions, progress: watch, ..Options::default() })
    });
    Ok(match checked.await? {
        Ok(report) => match (report.problems.into_iter().next(), report.contents) {
            (Some(problem), _) => StructureCheck::Bad(problem),
            (None, Some(contents)) => StructureCheck::Sound(Box::new(contents)),
            (None, None) => StructureCheck::Unreadable("the check did not reach its end".to_owned()),
        },
        Err(failure) => StructureCheck::Unreadable(failure.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::events::NoEvents;

    #[tokio::test]
    async fn a_file_that_cannot_be_read_back_is_neither_sound_nor_bad() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("x.db")).expect("it can be written, but not read");
        file.set_len(8192).expect("it grows");
        let result = check_structure(&file, 8192, None, &NoEvents).await.expect("a result");
        assert!(
            matches!(&result, StructureCheck::Unreadable(reason) if reason.contains("cannot read the file")),
            "{result:?}"
        );
    }
}
