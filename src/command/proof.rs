//! Levels 2 and 3 of the proof, on the file that has just arrived: most of its bytes are still in memory, and nothing
//! is needed from the node any more.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::asking::Asking;
use super::content::{Comparison, OfFile, Round, Verdict};
use crate::error::{Error, Result};
use crate::ui::{Progress, Ui};
use etcd_snapshot::{Contents, FileHash, HashPoint, Options, Problem};

/// What level 2 came to.
#[derive(Debug)]
pub(super) enum Structure {
    NotChecked,
    Sound(Box<Contents>),
    Bad(Problem),
    /// The file could not be read back; the reason.
    Unreadable(String),
}

/// What level 3 came to.
#[derive(Debug)]
pub(super) enum Content {
    NotChecked,
    Compared(Comparison),
}

impl Content {
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Content::NotChecked => None,
            Content::Compared(comparison) => Some(comparison.verdict()),
        }
    }
}

/// Looks at the whole database in `file`, of `size` bytes. `revision`: one for which its hash will be asked.
pub(super) async fn structure(file: &File, size: u64, revision: Option<i64>, ui: &Ui) -> Result<Structure> {
    let progress = Progress::checking(ui, size);
    let checked = apart(file, progress, move |file, watch| {
        // The copy has computed the checksum already.
        let revisions = revision.into_iter().collect();
        etcd_snapshot::check(file, &Options { checksum: false, revisions, progress: watch, ..Options::default() })
    });
    Ok(match checked.await? {
        Ok(report) => match (report.problems.into_iter().next(), report.contents) {
            (Some(problem), _) => Structure::Bad(problem),
            (None, Some(contents)) => Structure::Sound(Box::new(contents)),
            (None, None) => Structure::Unreadable("its end was not reached".to_owned()),
        },
        Err(failure) => Structure::Unreadable(failure.to_string()),
    })
}

/// Compares a sound file with the members. `early`: what they said while it was copied.
pub(super) async fn content(
    asking: Asking<'_>,
    file: &File,
    contents: Box<Contents>,
    early: Option<Round>,
    ui: &Ui,
) -> Result<(Box<Contents>, Content)> {
    let own = contents.revision;
    ui.say(&format!("Comparing the snapshot with the members at revision {own}"));
    let late = asking.round(own, early.as_ref()).await;
    let rounds: Vec<Round> = early.into_iter().chain([late]).collect();
    let (contents, of_file) = hashes(file, contents, &rounds).await?;
    Ok((contents, Content::Compared(Comparison::of(asking.voters(), &rounds, &of_file))))
}

/// The file's own hash at all points at which a member gave one.
async fn hashes(file: &File, contents: Box<Contents>, rounds: &[Round]) -> Result<(Box<Contents>, OfFile)> {
    let mut points: Vec<(i64, i64)> = rounds.iter().flat_map(Round::points).collect();
    points.sort_unstable();
    points.dedup();
    if points.is_empty() {
        return Ok((contents, OfFile::new()));
    }
    let asked: Vec<HashPoint> =
        points.iter().map(|&(revision, compact_revision)| HashPoint { revision, compact_revision }).collect();
    let (contents, found) = apart(file, Progress::none(), move |file, watch| {
        let found = etcd_snapshot::hash_kv(file, &contents, &asked, watch);
        (contents, found)
    })
    .await?;
    let found = found.map_err(|failure| Error::failed(format!("the snapshot cannot be read back: {failure}")))?;
    let found = found.into_iter().map(|hash| match hash {
        FileHash::Hash(hash) => Ok(hash),
        FileHash::NotComparable(reason) => Err(reason.to_string()),
    });
    Ok((contents, points.into_iter().zip(found).collect()))
}

/// Runs work on a file in a thread of its own; when this is dropped, the work ends soon.
async fn apart<T: Send + 'static>(
    file: &File,
    progress: Progress,
    work: impl FnOnce(&File, etcd_snapshot::ProgressFn<'_>) -> T + Send + 'static,
) -> Result<T> {
    let file = file.try_clone().map_err(|error| Error::failed(format!("the snapshot cannot be read back: {error}")))?;
    let dropped = Dropped::default();
    let stop = Arc::clone(&dropped.0);
    let thread = tokio::task::spawn_blocking(move || {
        let done = AtomicU64::new(0);
        let outcome = work(&file, &|bytes| {
            progress.read(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
            !stop.load(Ordering::Relaxed)
        });
        progress.finish();
        outcome
    });
    thread.await.map_err(|_| Error::failed("the thread that checks the file ended unexpectedly"))
}

/// Tells a thread that nobody waits for it any more.
#[derive(Debug, Default)]
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cli::TalkArgs;

    #[tokio::test]
    async fn a_file_that_cannot_be_read_back_is_neither_sound_nor_bad() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("x.db")).expect("it can be written, and only that");
        file.set_len(8192).expect("it grows");
        let ui = Ui::new(&TalkArgs { output: None, quiet: true, verbosity: 0 });
        let found = structure(&file, 8192, None, &ui).await.expect("an outcome");
        assert!(
            matches!(&found, Structure::Unreadable(reason) if reason.contains("cannot read the file")),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_stopped() {
        let file = tempfile::tempfile().expect("a file");
        let (ended, end) = std::sync::mpsc::channel();
        let work = apart(&file, Progress::none(), move |_, watch| {
            let start = Instant::now();
            while watch(1) && start.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.send(start.elapsed()).expect("the test waits");
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), work).await.is_err());
        let took = end.recv_timeout(Duration::from_secs(10)).expect("it ends");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
