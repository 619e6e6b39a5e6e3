//! The check of a file, from its first byte to the report.

use crate::error::{Problem, ReadFailure};
use crate::identify::{Database, FileKind, Identity, identify};
use crate::io::{ProgressFn, ReadAt, ReadCoordinator, ReadScheduler};
use crate::mvcc::ParallelWalk;
use crate::report::{Report, Trailer};
use crate::sha256::{FileDigest, TRAILER_LENGTH, hash_file};
use crate::tx_check::{Examined, check_database};

/// The largest database that is checked. etcd's own limit is 8 GiB (`--quota-backend-bytes`, a larger one logs a warning),
/// and a file can claim any size at no cost: it may be sparse.
const MAX_SIZE: u64 = 1 << 40;

/// What a check does.
#[derive(Clone)]
pub struct Options<'a> {
    /// Whether to compute the sha-256 and check the trailer, in a second thread that reads the whole file. Turn it off if
    /// this was done while the file was copied.
    pub checksum: bool,
    /// Revisions for which [`hash_kv`](crate::hash_kv()) will be called, besides the newest one. The check remembers what
    /// they need, which saves a pass.
    pub revisions: Vec<i64>,
    /// Receives the length of each read, and can cancel the check. The sum is at least the size of the file, and twice
    /// that with `checksum`. It is more if the pages are scattered, because gaps are read as well, and if only the sha-256
    /// can tell a member's own database from a snapshot.
    pub progress: ProgressFn<'a>,
    /// When two threads read the database.
    pub parallel: ParallelWalk,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { checksum: true, revisions: Vec::new(), progress: &|_| true, parallel: ParallelWalk::default() }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("checksum", &self.checksum)
            .field("revisions", &self.revisions)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// Checks a file. A bad file is not an error: the report says what is wrong with it.
///
/// # Errors
/// Reading failed or was cancelled; or the file was changed during the check, as a running member changes its database.
pub fn check<S: ReadAt + ?Sized>(source: &S, options: &Options<'_>) -> Result<Report, ReadFailure> {
    let size = source.size()?;
    let is_too_large = size > MAX_SIZE;
    let identity =
        if is_too_large { Identity::Other(too_large(size)) } else { identify(source, size, options.progress)? };
    let checksum = options.checksum && !is_too_large;
    let coordinator = ReadCoordinator::new(checksum);
    let scheduler = ReadScheduler::new(&coordinator, options.progress);
    let (digest, examined) = std::thread::scope(|scope| {
        let hashing = checksum.then(|| {
            let (coordinator, scheduler) = (&coordinator, scheduler.sequential());
            scope.spawn(move || hash_file(source, size, coordinator, scheduler))
        });
        let examined = examine(source, size, &identity, options, scheduler);
        if examined.is_err() {
            coordinator.cancel();
        }
        let digest = hashing.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (digest.transpose(), examined)
    });
    match (digest, examined) {
        (Ok(_), Ok(_)) if !is_current(source, size, &identity)? => Err(ReadFailure::Changed),
        (Ok(digest), Ok(examined)) => Ok(report(size, &identity, examined, digest)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(digest), Err(examined)) => Err(examined.or(digest)),
    }
}

/// Returns `true` if the file is still the one that was identified.
fn is_current<S: ReadAt + ?Sized>(source: &S, size: u64, identity: &Identity) -> Result<bool, ReadFailure> {
    if source.size()? != size {
        return Ok(false);
    }
    match identity {
        Identity::Database(database) => database.meta_pages.is_current(source, size),
        Identity::Other(_) => Ok(true),
    }
}

/// Checks the database, if the file is one.
fn examine<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    identity: &Identity,
    options: &Options<'_>,
    scheduler: ReadScheduler<'_>,
) -> Result<Examined, ReadFailure> {
    let (meta, kind) = match identity {
        Identity::Database(database) => (&database.meta_pages.meta, database.kind),
        Identity::Other(problem) => return Ok(Examined::Corrupt(vec![problem.clone()])),
    };
    let total = meta.total_size();
    if total > MAX_SIZE {
        return Ok(Examined::Corrupt(vec![too_large(total)]));
    }
    if size < total {
        return Ok(Examined::Corrupt(vec![Problem {
            what: format!("the file is cut off: it ends after {size} of {total} bytes"),
            offset: Some(size),
            hint: "the copy was interrupted, or the disk was full: take the snapshot again".to_owned(),
        }]));
    }
    let is_snapshot = kind == FileKind::Snapshot;
    check_database(source, meta, is_snapshot, &options.revisions, &options.parallel, scheduler)
}

fn too_large(size: u64) -> Problem {
    Problem {
        what: format!("this is not an etcd database: no etcd can have {size} bytes"),
        offset: None,
        hint: "check which program wrote the file; etcd suggests at most 8 GiB, and files above 1 TiB are not read"
            .to_owned(),
    }
}

fn report(size: u64, identity: &Identity, examined: Examined, digest: Option<FileDigest>) -> Report {
    let sha256 = digest.map(|digest| digest.sha256);
    let (contents, mut problems) = match examined {
        Examined::Sound(contents) => (Some(*contents), Vec::new()),
        Examined::Corrupt(problems) => (None, problems),
    };
    let Identity::Database(database) = identity else {
        let trailer = Trailer::NotChecked;
        return Report { size, kind: None, trailer, sha256, damaged_meta: false, contents, problems };
    };
    let trailer = trailer(database, digest);
    // If the file is cut off, that explains a missing second meta page and a missing trailer.
    if size >= database.meta_pages.meta.total_size() {
        problems.splice(0..0, database.meta_pages.problem.clone());
        problems.extend(check_end(database, size, trailer, contents.is_some()));
    }
    let damaged_meta = database.meta_pages.problem.is_some();
    Report { size, kind: Some(database.kind), trailer, sha256, damaged_meta, contents, problems }
}

fn trailer(database: &Database, digest: Option<FileDigest>) -> Trailer {
    match digest {
        Some(digest) if digest.trailer_matches => Trailer::Matches,
        Some(_) if database.has_snapshot_size => Trailer::Differs,
        Some(_) => Trailer::Missing,
        None => Trailer::NotChecked,
    }
}

/// Checks the bytes behind the database.
fn check_end(database: &Database, size: u64, trailer: Trailer, is_sound: bool) -> Option<Problem> {
    let meta = &database.meta_pages.meta;
    let total = meta.total_size();
    let behind = size - total;
    let problem =
        |what: String, offset: u64, hint: &str| Some(Problem { what, offset: Some(offset), hint: hint.to_owned() });
    match (database.kind, behind) {
        (FileKind::Snapshot, TRAILER_LENGTH) if trailer == Trailer::Differs && is_sound => problem(
            "the sha-256 at the end does not match, though the structure is sound: the sha-256 or a value was changed"
                .to_owned(),
            total,
            "do not restore from this file: bytes changed on a disk or during a copy",
        ),
        (FileKind::Snapshot, TRAILER_LENGTH) if trailer == Trailer::Differs => problem(
            "the sha-256 at the end does not match either".to_owned(),
            total,
            "do not restore from this file: bytes changed on a disk or during a copy",
        ),
        (FileKind::Snapshot, TRAILER_LENGTH) => None,
        (FileKind::Snapshot, 0) if database.is_ambiguous => problem(
            "the snapshot is missing the sha-256 at its end, or this is a member's own database that was closed without a change: the \
             two look the same"
                .to_owned(),
            total,
            "if it was a snapshot, take it again, because it cannot be verified without its last 32 bytes; if it is a copy \
             of member/snap/db, only its structure can be verified: prefer a snapshot of the running member, or compare it \
             with the members ('kubectl etcd-backup verify --against-cluster')",
        ),
        (FileKind::Snapshot, 0) => problem(
            "the snapshot is missing the sha-256 at its end".to_owned(),
            total,
            "take the snapshot again: without its last 32 bytes, a change of the others cannot be detected",
        ),
        (FileKind::Snapshot, 1..TRAILER_LENGTH) => problem(
            format!("the file is cut off: {} of the 32 bytes of its sha-256 are missing", TRAILER_LENGTH - behind),
            size,
            "the copy was interrupted just before its end: take the snapshot again",
        ),
        (FileKind::Snapshot, _) => problem(
            format!("{} bytes that do not belong to the snapshot follow it", behind - TRAILER_LENGTH),
            total + TRAILER_LENGTH,
            "something was appended: take the snapshot again, and find out what writes to the file",
        ),
        (FileKind::MemberDatabase, _) if !size.is_multiple_of(meta.page_size) => problem(
            format!("{size} bytes is not a whole number of pages of {} bytes", meta.page_size),
            size - size % meta.page_size,
            "something was appended, or the end is missing: copy the member's own database again",
        ),
        (FileKind::MemberDatabase, _) => None,
    }
}

#[cfg(test)]
mod tests;
