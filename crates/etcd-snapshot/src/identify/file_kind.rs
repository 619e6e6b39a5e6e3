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
    /// The file has the size of a snapshot: the database and a trailer.
    pub(crate) has_snapshot_size: bool,
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
    let has_snapshot_size = size == meta_pages.meta.total_size().saturating_add(TRAILER_LENGTH);
    let kind = match meta_pages.writer {
        // With a damaged meta page, the size of the file tells more than the meta pages do.
        _ if meta_pages.problem.is_some() && has_snapshot_size => FileKind::Snapshot,
        Writer::Snapshot => FileKind::Snapshot,
        Writer::SnapshotOrMember if is_member(source, size, &meta_pages, progress)? => FileKind::MemberDatabase,
        Writer::SnapshotOrMember => FileKind::Snapshot,
        Writer::Member | Writer::Unknown => FileKind::MemberDatabase,
    };
    let is_ambiguous = meta_pages.writer == Writer::SnapshotOrMember;
    Ok(Identity::Database(Database { meta_pages, kind, is_ambiguous, has_snapshot_size }))
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

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::meta::testing::meta_page;

    /// A database of 5 pages whose meta pages have these transactions.
    fn database(transactions: [u64; 2]) -> Vec<u8> {
        let [first, second] = transactions;
        [meta_page(0, 4096, first), meta_page(1, 4096, second), vec![7; 3 * 4096]].concat()
    }

    fn with_trailer(mut file: Vec<u8>) -> Vec<u8> {
        file.extend_from_slice(&Sha256::digest(&file));
        file
    }

    fn identity(file: &[u8]) -> Identity {
        identify(file, file.len() as u64, &|_| true).expect("memory can be read")
    }

    /// The kind, and whether the meta pages are ambiguous.
    fn kind(file: &[u8]) -> (FileKind, bool) {
        match identity(file) {
            Identity::Database(database) => (database.kind, database.is_ambiguous),
            Identity::Other(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn the_meta_pages_tell_the_kind() {
        assert_eq!(kind(&with_trailer(database([9, 8]))), (FileKind::Snapshot, false));
        assert_eq!(kind(&database([9, 8])), (FileKind::Snapshot, false), "the trailer is missing");
        assert_eq!(kind(&database([8, 9])), (FileKind::MemberDatabase, false));
        assert_eq!(kind(&with_trailer(database([8, 9]))), (FileKind::MemberDatabase, false));
    }

    #[test]
    fn whole_pages_behind_ambiguous_meta_pages_are_a_member_database_unless_the_sha256_is_there() {
        let unused = vec![0; 2 * 4096];
        assert_eq!(kind(&database([10, 9])), (FileKind::Snapshot, true));
        assert_eq!(kind(&with_trailer(database([10, 9]))), (FileKind::Snapshot, true));
        assert_eq!(kind(&[database([10, 9]), unused.clone()].concat()), (FileKind::MemberDatabase, true));
        let mut appended = with_trailer(database([10, 9]));
        appended.resize(7 * 4096, 0);
        assert_eq!(kind(&appended), (FileKind::Snapshot, true));
        assert_eq!(kind(&[database([9, 8]), unused].concat()), (FileKind::Snapshot, false));
    }

    #[test]
    fn with_one_meta_page_the_size_tells_the_kind() {
        for damaged in [0, 4096] {
            let mut file = database([8, 9]);
            file[damaged + 30] ^= 1;
            assert_eq!(kind(&file), (FileKind::MemberDatabase, false));
            assert_eq!(kind(&with_trailer(file)), (FileKind::Snapshot, false));
        }
    }

    #[test]
    fn a_file_without_a_readable_meta_page_is_something_else() {
        let offset = |file: &[u8]| match identity(file) {
            Identity::Other(problem) => problem.offset,
            Identity::Database(database) => panic!("{database:?}"),
        };
        let mut file = database([9, 8]);
        file[30] ^= 1;
        file[4096 + 30] ^= 1;
        assert_eq!(offset(&file), Some(0), "a corrupt database");
        assert_eq!(offset(b"not a database"), None);
    }

    #[test]
    fn identifying_an_ambiguous_file_can_be_cancelled() {
        let file = [database([10, 9]), vec![0; 4096]].concat();
        let outcome = identify(&file[..], file.len() as u64, &|_| false);
        assert!(matches!(outcome, Err(ReadFailure::Cancelled)), "{outcome:?}");
    }
}
