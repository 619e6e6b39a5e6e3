//! The file that a run writes until the snapshot is verified: `.NAME.XXXXXX.part`.

use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};

/// The end of the name.
const SUFFIX: &str = ".part";

/// Creates an empty file for `name`, with mode 0600, and locks it.
///
/// # Errors
/// The directory does not exist or is not writable.
pub(super) fn create_temporary(directory: &Path, name: &str) -> Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    let temporary = Builder::new().prefix(&prefix).suffix(SUFFIX).tempfile_in(directory).map_err(|error| {
        let kind = error.kind();
        // The library's own message names the temporary file, which the user does not know.
        let why = match kind {
            io::ErrorKind::NotFound => "it does not exist".to_owned(),
            kind => kind.to_string(),
        };
        let failed = Error::failed(format!("cannot write to directory {}: {why}", directory.display()));
        if kind == io::ErrorKind::NotFound {
            failed.hint(format!("create it with 'mkdir -p {}'", directory.display()))
        } else {
            failed
        }
    })?;
    // The lock ends with the run, also if the run is killed. Not every file system has locks.
    let _ = temporary.as_file().try_lock();
    Ok(temporary)
}

/// Reports whether a name is `.NAME.XXXXXX.part`, with six letters or digits.
pub(super) fn is_temporary_name(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(SUFFIX)?.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        !name.is_empty() && random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_of_a_temporary_file_counts() {
        for name in [".x.db.AbC123.part", ".etcd-prod-cp1-20260101T020000Z.db.aaaaaa.part", ".x.000000.part"] {
            assert!(is_temporary_name(name), "{name}");
        }
        for name in [
            "x.db.AbC123.part",
            ".x.db.AbC12.part",
            ".x.db.AbC1234.part",
            ".x.db.AbC-23.part",
            ".AbC123.part",
            "..AbC123.part",
            ".x.db.AbC123.part.1",
            ".x.db.AbC123.PART",
            ".x.dbAbC123part",
            ".part",
            "",
        ] {
            assert!(!is_temporary_name(name), "{name}");
        }
    }
}
