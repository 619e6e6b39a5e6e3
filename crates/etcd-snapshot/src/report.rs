//! What a check found out about a file.

use crate::cursor::BucketRoot;
use crate::error::Problem;
use crate::identify::FileKind;
use crate::mvcc::LiveEntries;

/// The state of the sha-256 at the end of a snapshot. If it matches, the snapshot is complete and unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// It matches the bytes before it.
    Matches,
    /// It does not match the bytes before it.
    Differs,
    /// The file does not have one.
    Missing,
    /// It was not checked: [`Options::checksum`](crate::Options::checksum) is off, or the file is not a database.
    NotChecked,
}

/// What a check found out about a file.
#[derive(Debug)]
pub struct Report {
    /// The length of the file in bytes.
    pub size: u64,
    /// The kind of the file; `None` if it is not a bbolt file with a readable meta page.
    pub kind: Option<FileKind>,
    /// The state of the sha-256 at the end.
    pub trailer: Trailer,
    /// The sha-256 of the whole file with its trailer, as `sha256sum` prints it; `None` if
    /// [`Options::checksum`](crate::Options::checksum) is off.
    pub sha256: Option<[u8; 32]>,
    /// One of the two meta pages is damaged. The other one was used to read the rest.
    pub damaged_meta: bool,
    /// The figures of the database; `None` unless all of it was read and is sound.
    pub contents: Option<Contents>,
    /// What is wrong, the first cause first. The check ends after [`MAX_PROBLEMS`](crate::MAX_PROBLEMS) in the structure.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Returns `true` if the structure is sound: all pages, and etcd's own invariants. It says nothing about the trailer.
    pub fn is_sound(&self) -> bool {
        self.contents.is_some() && !self.damaged_meta
    }

    /// Returns `true` if nothing is wrong. A member's own database has no trailer and is good without one, so look at
    /// [`Report::trailer`], too.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.is_sound()
    }
}

/// The figures of a sound database. Revisions are signed, as in etcd.
#[derive(Debug)]
pub struct Contents {
    /// The page size in bytes.
    pub page_size: u64,
    /// The size of the database in bytes, without the trailer and unused pages at the end: the "total size" of
    /// `etcdutl snapshot status`.
    pub total_size: u64,
    /// CRC-32C over bucket names, keys and values: the hash of `etcdutl snapshot status`.
    pub hash: u32,
    /// The newest revision in the bucket `key`, 0 if it is empty: the revision of `etcdutl snapshot status`.
    pub last_revision: i64,
    /// The revision at which a member starts with this file: the newest of [`Contents::last_revision`], both compactions
    /// and 1 (etcd `server/storage/mvcc/kvstore.go`, `restore`). HashKV uses this one.
    pub revision: i64,
    /// The revision of the last finished compaction.
    pub finished_compact: Option<i64>,
    /// The revision of the last scheduled compaction. It is pending if it is newer than the finished one.
    pub scheduled_compact: Option<i64>,
    /// The number of keys that exist at the newest revision, as etcdutl 3.6 counts them.
    pub total_keys: u64,
    /// The number of entries in the bucket `key`: every revision of every key that is not compacted.
    pub entries: u64,
    /// `storageVersion` in the bucket `meta`, from etcd 3.6 on.
    pub storage_version: Option<String>,
    /// The index of the last raft entry that was applied to the database.
    pub consistent_index: Option<u64>,
    /// The raft term of [`Contents::consistent_index`], from etcd 3.5 on.
    pub term: Option<u64>,
    /// The number of leases.
    pub leases: u64,
    /// The number of users of etcd's authentication.
    pub users: u64,
    /// The number of roles of etcd's authentication.
    pub roles: u64,
    /// Whether etcd's authentication is enabled.
    pub auth_enabled: bool,
    /// The number of active alarms, such as NOSPACE.
    pub alarms: u64,
    pub(crate) key_bucket: BucketRoot,
    pub(crate) live: LiveEntries,
}

impl Contents {
    /// Returns the oldest revision whose history is complete in the file; -1 if nothing was ever compacted, as in etcd.
    pub fn compact_revision(&self) -> i64 {
        self.finished_compact.max(self.scheduled_compact).unwrap_or(-1)
    }
}
