//! Levels 2 and 3 of the verification, on the file that has just arrived: most of its bytes are still in memory, and nothing
//! is needed from the node any more.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::comparison::{Comparison, FileHashes, HashRound, Verdict};
use super::hash_query::HashQuery;
use crate::error::{Error, Result};
use crate::util::events::Events;
use crate::util::progress::{NoProgress, Progress};
use etcd_snapshot::{Contents, FileHash, HashPoint, Options, Problem};

/// What level 2 came to.
#[derive(Debug)]
pub enum IntegrityResult {
    NotChecked,
    Sound(Box<Contents>),
    Bad(Problem),
    /// The file could not be read back; the reason.
    Unreadable(String),
}

/// What level 3 came to.
#[derive(Debug)]
pub enum MemberCheck {
    NotChecked,
    Compared(Comparison),
}

impl IntegrityResult {
    /// Returns the figures of a sound file.
    pub fn contents(&self) -> Option<&Contents> {
        match self {
            IntegrityResult::Sound(contents) => Some(contents),
            _ => None,
        }
    }

    /// Returns the result as documents and tables name it.
    pub fn label(&self) -> &'static str {
        match self {
            IntegrityResult::NotChecked | IntegrityResult::Unreadable(_) => "not checked",
            IntegrityResult::Sound(_) => "verified",
            IntegrityResult::Bad(_) => "failed",
        }
    }
}

impl MemberCheck {
    /// Returns the result as documents and tables name it.
    pub fn label(&self) -> &'static str {
        match self.verdict() {
            None => "not checked",
            Some(Verdict::Verified) => "verified",
            Some(Verdict::MemberDiffers) => "member differs",
            Some(Verdict::FileDiffers) => "differs",
            Some(Verdict::NotComparable) => "not comparable",
        }
    }

    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            MemberCheck::NotChecked => None,
            MemberCheck::Compared(comparison) => Some(comparison.verdict()),
        }
    }
}

/// Looks at the whole database in `file`, of `size` bytes. `revision`: one for which its hash will be asked.
pub async fn structure(file: &File, size: u64, revision: Option<i64>, events: &dyn Events) -> Result<IntegrityResult> {
    let progress = events.check_progress(size);
    let checked = apart(file, progress, move |file, watch| {
        // The copy has computed the checksum already.
        let revisions = revision.into_iter().collect();
        etcd_snapshot::check(file, &Options { checksum: false, revisions, progress: watch, ..Options::default() })
    });
    Ok(match checked.await? {
        Ok(report) => match (report.problems.into_iter().next(), report.contents) {
            (Some(problem), _) => IntegrityResult::Bad(problem),
            (None, Some(contents)) => IntegrityResult::Sound(Box::new(contents)),
            (None, None) => IntegrityResult::Unreadable("its end was not reached".to_owned()),
        },
        Err(failure) => IntegrityResult::Unreadable(failure.to_string()),
    })
}

/// Compares a sound file with the members. `early`: what they said while it was copied.
pub async fn content(
    query: HashQuery<'_>,
    file: &File,
    contents: Box<Contents>,
    early: Option<HashRound>,
    events: &dyn Events,
) -> Result<(Box<Contents>, MemberCheck)> {
    let own = contents.revision;
    events.status(&format!("Comparing the snapshot with the members at revision {own}"));
    let late = query.round(own, early.as_ref()).await;
    let rounds: Vec<HashRound> = early.into_iter().chain([late]).collect();
    let (contents, of_file) = hashes(file, contents, &rounds).await?;
    Ok((contents, MemberCheck::Compared(Comparison::of(query.voting_members(), &rounds, &of_file))))
}

/// The file's own hash at all points at which a member gave one.
async fn hashes(file: &File, contents: Box<Contents>, rounds: &[HashRound]) -> Result<(Box<Contents>, FileHashes)> {
    let mut points: Vec<(i64, i64)> = rounds.iter().flat_map(HashRound::points).collect();
    points.sort_unstable();
    points.dedup();
    if points.is_empty() {
        return Ok((contents, FileHashes::new()));
    }
    let asked: Vec<HashPoint> =
        points.iter().map(|&(revision, compact_revision)| HashPoint { revision, compact_revision }).collect();
    let (contents, found) = apart(file, Box::new(NoProgress), move |file, watch| {
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
    progress: Box<dyn Progress>,
    work: impl FnOnce(&File, etcd_snapshot::ProgressFn<'_>) -> T + Send + 'static,
) -> Result<T> {
    let file = file.try_clone().map_err(|error| Error::failed(format!("the snapshot cannot be read back: {error}")))?;
    let dropped = Dropped::default();
    let stop = Arc::clone(&dropped.0);
    let thread = tokio::task::spawn_blocking(move || {
        let done = AtomicU64::new(0);
        let outcome = work(&file, &|bytes| {
            progress.set_position_clamped(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
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
    use crate::util::events::NoEvents;

    #[tokio::test]
    async fn a_file_that_cannot_be_read_back_is_neither_sound_nor_bad() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("x.db")).expect("it can be written, and only that");
        file.set_len(8192).expect("it grows");
        let found = structure(&file, 8192, None, &NoEvents).await.expect("an outcome");
        assert!(
            matches!(&found, IntegrityResult::Unreadable(reason) if reason.contains("cannot read the file")),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_stopped() {
        let file = tempfile::tempfile().expect("a file");
        let (ended, end) = std::sync::mpsc::channel();
        let work = apart(&file, Box::new(NoProgress), move |_, watch| {
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
