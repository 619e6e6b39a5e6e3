//! A snapshot, a member's own database, or neither.

use super::foreign;
use crate::error::{Problem, ReadFailure};
use crate::io::{ProgressFn, ReadAt, ReadCoordinator, ReadScheduler};
use crate::meta::{MetaLookup, MetaPages, Writer, read_meta_pages};
use crate::sha256::{TRAILER_LENGTH, hash_file};

/// How a bbolt file of etcd was made. Each kind has its own rules for the bytes behind the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The answer to `Maintenance.Snapshot`, as `etcdctl snapshot save` writes it: bbolt's `Tx.WriteTo`, which writes the
    /// same meta page twice, and the sha-256 of that.
    Snapshot,
    /// A member's own `member/snap/db`: two different meta pages, unless its last commit changed nothing; usually unused
    /// pages at the end; no sha-256.
    MemberDatabase,
}

/// A bbolt file.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) meta_pages: MetaPages,
    pub(crate) kind: FileKind,
    /// The meta pages fit a snapshot and a member's own database.
    pub(crate) is_ambiguous: bool,
}

/// What a file is.
#[derive(Debug)]
pub(crate) enum Identity {
    Database(Database),
    /// Something else, or a database without a readable meta page.
    Other(Problem),
}

/// Identifies a file of `size` bytes.
///
/// This reads the meta pages, and the whole file only if nothing else can tell a member's own database from a snapshot.
///
/// # Errors
/// Reading failed or was cancelled.
pub(crate) fn identify<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    progress: ProgressFn<'_>,
) -> Result<Identity, ReadFailure> {
    let meta_pages = match read_meta_pages(source, size)? {
        MetaLookup::Found(meta_pages) => meta_pages,
        MetaLookup::Corrupt(problem) => return Ok(Identity::Other(problem)),
        MetaLookup::NotBbolt => return Ok(Identity::Other(foreign::diagnose(source, size)?)),
    };
    let has_room_for_trailer = size == meta_pages.meta.total_size().saturating_add(TRAILER_LENGTH);
    let kind = match meta_pages.writer {
        // With a damaged meta page, the size of the file tells more than the meta pages do.
        _ if meta_pages.problem.is_some() && has_room_for_trailer => FileKind::Snapshot,
        Writer::Snapshot => FileKind::Snapshot,
        Writer::SnapshotOrMember if is_member(source, size, &meta_pages, progress)? => FileKind::MemberDatabase,
        Writer::SnapshotOrMember => FileKind::Snapshot,
        Writer::Member | Writer::Unknown => FileKind::MemberDatabase,
    };
    let is_ambiguous = meta_pages.writer == Writer::SnapshotOrMember;
    Ok(Identity::Database(Database { meta_pages, kind, is_ambiguous }))
}

/// A member's own database can have whole unused pages at its end. A snapshot with something appended can look the same,
/// but has the sha-256 of the database behind it.
fn is_member<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    meta_pages: &MetaPages,
    progress: ProgressFn<'_>,
) -> Result<bool, ReadFailure> {
    let (total, page_size) = (meta_pages.meta.total_size(), meta_pages.meta.page_size);
    if size <= total || !size.is_multiple_of(page_size) {
        return Ok(false);
    }
    let coordinator = ReadCoordinator::new(false);
    let scheduler = ReadScheduler::new(&coordinator, progress);
    let digest = hash_file(source, total.saturating_add(TRAILER_LENGTH), &coordinator, scheduler)?;
    Ok(!digest.trailer_matches)
}
