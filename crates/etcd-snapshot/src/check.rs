//! The examination of a file from its first byte to its verdict.

use crate::io::read_at::ReadAt;
use crate::io::scheduling::{ReadScheduler, Shared};
use crate::meta::{Meta, MetaPages, Missing, find};
use crate::report::{Contents, FileKind, Problem, ReadFailure, Report, Trailer};
use crate::sha256::{LENGTH, Sums, sum};
use crate::{ProgressFn, identify, tx_check};

/// What an examination is to do.
#[derive(Clone)]
pub struct Options<'a> {
    /// Compute the sha-256 and check the trailer. Not where the copy has done so already: with it the whole file is
    /// read a second time, by a second thread.
    pub checksum: bool,
    /// Revisions for which [`crate::hash_kv`] will be asked, besides the newest one: the pass that is made here anyhow
    /// remembers what it needs for them.
    pub revisions: Vec<i64>,
    /// Progress and stop. At least the size of the file is read, and twice that with `checksum`; more where the pages lie
    /// scattered, because blocks are read that are longer than a page, and where only a sum can tell a member's own
    /// database from a snapshot.
    pub progress: ProgressFn<'a>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { checksum: true, revisions: Vec::new(), progress: &|_| true }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("checksum", &self.checksum)
            .field("revisions", &self.revisions)
            .finish_non_exhaustive()
    }
}

/// Examines a file.
///
/// # Errors
/// Reading failed or was stopped. A bad file is no error: it is what the report says.
pub fn check<S: ReadAt + ?Sized>(source: &S, options: &Options<'_>) -> Result<Report, ReadFailure> {
    let size = source.size()?;
    let shared = Shared::new(options.checksum);
    let scheduler = ReadScheduler::new(&shared, options.progress);
    std::thread::scope(|scope| {
        let shared = &shared;
        let sums = options.checksum.then(|| {
            let scheduler = scheduler.leading();
            scope.spawn(move || sum(source, size, shared, scheduler))
        });
        let walked = walk(source, size, &options.revisions, scheduler);
        if walked.is_err() {
            shared.stop();
        }
        // The thread neither panics nor outlives the scope.
        let sums = sums.map(|thread| thread.join().unwrap_or(Err(ReadFailure::Cancelled)));
        match (walked, sums.transpose()) {
            (Err(own), Err(other)) => Err(own.or(other)),
            (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
            (Ok(mut walked), Ok(sums)) => {
                if let Walked::Database(found, _) = &mut walked
                    && is_member(source, size, found, options.progress)?
                {
                    found.kind = FileKind::MemberDatabase;
                }
                Ok(report(size, walked, sums))
            }
        }
    })
}

/// Behind a database that may be either there are whole pages, as bbolt lets its file grow, and no snapshot ends where
/// they begin: there the sha-256 would be that of what precedes. This reads the database once more, but files of which
/// the meta pages do not tell enough are rare.
fn is_member<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    found: &MetaPages,
    progress: ProgressFn<'_>,
) -> Result<bool, ReadFailure> {
    let (total, page_size) = (found.meta.total_size(), found.meta.page_size);
    if !found.ambiguous || size <= total || !size.is_multiple_of(page_size) {
        return Ok(false);
    }
    let shared = Shared::new(false);
    let sums = sum(source, total.saturating_add(LENGTH), &shared, ReadScheduler::new(&shared, progress))?;
    Ok(!sums.matches)
}

/// What the pages say, before the trailer is known.
enum Walked {
    Foreign(Problem),
    Database(MetaPages, Box<Result<Contents, Vec<Problem>>>),
}

fn walk<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    revisions: &[i64],
    scheduler: ReadScheduler<'_>,
) -> Result<Walked, ReadFailure> {
    let mut found = match find(source, size)? {
        Ok(found) => found,
        Err(Missing::Damaged(problem)) => return Ok(Walked::Foreign(problem)),
        Err(Missing::Foreign) => return Ok(Walked::Foreign(identify::diagnose(source, size)?)),
    };
    if found.problem.is_some() && size == found.meta.total_size().saturating_add(LENGTH) {
        found.kind = FileKind::Snapshot;
    }
    let contents = match too_short(&found.meta, size) {
        Some(problem) => Err(vec![problem]),
        None => tx_check::check(source, &found.meta, revisions, scheduler)?,
    };
    Ok(Walked::Database(found, Box::new(contents)))
}

/// The file ends before the database does.
fn too_short(meta: &Meta, size: u64) -> Option<Problem> {
    let total = meta.total_size();
    (size < total).then(|| Problem {
        what: format!("the file is cut: it ends after {size} of {total} bytes"),
        offset: Some(size),
        hint: "the copy broke off, or the disk was full; take the snapshot again".to_owned(),
    })
}

fn report(size: u64, walked: Walked, sums: Option<Sums>) -> Report {
    let sha256 = sums.map(|sums| sums.whole);
    let (found, contents) = match walked {
        Walked::Foreign(problem) => {
            let trailer = Trailer::NotChecked;
            let problems = vec![problem];
            return Report { size, kind: None, trailer, sha256, damaged_meta: false, contents: None, problems };
        }
        Walked::Database(found, contents) => (found, *contents),
    };
    let (contents, mut problems) = match contents {
        Ok(contents) => (Some(contents), Vec::new()),
        Err(problems) => (None, problems),
    };
    let trailer = trailer(&found, size, sums);
    // A cut says all there is to say, of a second meta page that is cut away as well.
    if size >= found.meta.total_size() {
        problems.splice(0..0, found.problem.clone());
        problems.extend(ending(&found, size, trailer, contents.is_some()));
    }
    let damaged_meta = found.problem.is_some();
    Report { size, kind: Some(found.kind), trailer, sha256, damaged_meta, contents, problems }
}

fn trailer(found: &MetaPages, size: u64, sums: Option<Sums>) -> Trailer {
    let expected = size == found.meta.total_size().saturating_add(LENGTH);
    match sums {
        Some(sums) if sums.matches => Trailer::Matches,
        Some(_) if expected => Trailer::Differs,
        Some(_) => Trailer::Missing,
        None => Trailer::NotChecked,
    }
}

/// What is wrong with the bytes behind the database.
fn ending(found: &MetaPages, size: u64, trailer: Trailer, sound: bool) -> Option<Problem> {
    let total = found.meta.total_size();
    let behind = size - total;
    let problem =
        |what: String, offset: u64, hint: &str| Some(Problem { what, offset: Some(offset), hint: hint.to_owned() });
    match (found.kind, behind) {
        (FileKind::Snapshot, LENGTH) if trailer == Trailer::Differs && sound => problem(
            "the sha-256 at the end does not match, though the structure is sound: the trailer or some value was changed"
                .to_owned(),
            total,
            "do not restore from this file; bytes changed on a disk or on the way",
        ),
        (FileKind::Snapshot, LENGTH) if trailer == Trailer::Differs => problem(
            "the sha-256 at the end does not match, either".to_owned(),
            total,
            "do not restore from this file; bytes changed on a disk or on the way",
        ),
        (FileKind::Snapshot, LENGTH) => None,
        (FileKind::Snapshot, 0) if found.ambiguous => problem(
            "the snapshot has lost the sha-256 at its end, or this is a member's own database that was closed without a \
             change: the two look the same"
                .to_owned(),
            total,
            "if it came as a snapshot, take it again: without its last 32 bytes it is not proven; if it is a copy of \
             member/snap/db, the structure is all that can be proven of one: prefer a snapshot of the running member, or \
             compare it with 'verify --against-cluster'",
        ),
        (FileKind::Snapshot, 0) => problem(
            "the snapshot has lost the sha-256 at its end".to_owned(),
            total,
            "the copy missed the last 32 bytes, or something removed them; without them nobody can tell whether the rest \
             is unchanged",
        ),
        (FileKind::Snapshot, 1..LENGTH) => problem(
            format!("the file is cut: {} of the 32 bytes of sha-256 at its end are missing", LENGTH - behind),
            size,
            "the copy broke off just before its end; take the snapshot again",
        ),
        (FileKind::Snapshot, _) => problem(
            format!("{} bytes that do not belong to it follow the snapshot", behind - LENGTH),
            total + LENGTH,
            "something was appended; the part before it may be whole, but nothing should write to a snapshot",
        ),
        (FileKind::MemberDatabase, _) if !size.is_multiple_of(found.meta.page_size) => problem(
            "the file does not end with a whole page".to_owned(),
            size - size % found.meta.page_size,
            "a member's own database has whole pages only: something was appended, or its end is missing",
        ),
        (FileKind::MemberDatabase, _) => None,
    }
}
