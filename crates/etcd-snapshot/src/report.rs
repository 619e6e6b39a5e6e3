//! What an examination finds: the words in which this room speaks to the others.

use std::{fmt, io};

use crate::cursor::walk::BucketRoot;
use crate::mvcc::key_index::LiveEntries;

/// What is wrong with a file, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One sentence without a full stop: what is wrong, and with which part.
    pub what: String,
    /// Where, as a byte offset in the file, when the structure gives a place.
    pub offset: Option<u64>,
    /// The likely cause, or what to do.
    pub hint: String,
}

/// Why an examination did not come to an end. It says nothing about the file's contents.
#[derive(Debug)]
pub enum ReadFailure {
    /// The file could not be read; `UnexpectedEof`: it became shorter meanwhile.
    Io(io::Error),
    /// The progress asked to stop.
    Cancelled,
    /// The file was sound when it was checked and is not any more: somebody writes to it.
    Changed,
}

impl ReadFailure {
    /// Of the failures of two threads, the one that says why: that one was stopped only follows from the other.
    pub(crate) fn or(self, other: ReadFailure) -> ReadFailure {
        if matches!(self, ReadFailure::Cancelled) { other } else { self }
    }
}

impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFailure::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the file became shorter while it was read")
            }
            ReadFailure::Io(error) => write!(f, "the file cannot be read: {error}"),
            ReadFailure::Changed => f.write_str("the file was changed while it was read"),
            ReadFailure::Cancelled => f.write_str("the examination was stopped"),
        }
    }
}

impl From<io::Error> for ReadFailure {
    fn from(error: io::Error) -> Self {
        ReadFailure::Io(error)
    }
}

/// Where a bbolt file comes from; each has its own rules for the size and the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What `Maintenance.Snapshot` sends: bbolt's `Tx.WriteTo`, which writes the same meta page twice, and 32 bytes of
    /// sha-256 behind it.
    Snapshot,
    /// A member's own `member/snap/db`: two different meta pages unless its last commit changed nothing, most often room
    /// at the end, no trailer.
    MemberDatabase,
}

/// The sha-256 at the end of a snapshot, which proves that every byte arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// It is there and matches the rest.
    Matches,
    /// It is there and does not match.
    Differs,
    /// There is none.
    Missing,
    /// It was not asked for.
    NotChecked,
}

/// All that was found out about a file.
#[derive(Debug)]
pub struct Report {
    /// Length of the file in bytes.
    pub size: u64,
    /// What it is; `None` when it is no bbolt file with a readable meta page.
    pub kind: Option<FileKind>,
    /// The trailer.
    pub trailer: Trailer,
    /// SHA-256 of the whole file, trailer included, as `sha256sum` computes it; `None` when it was not asked for.
    pub sha256: Option<[u8; 32]>,
    /// One of the two meta pages is damaged; the other one was good enough to read the rest.
    pub damaged_meta: bool,
    /// The figures; `None` unless the structure was walked to its end and is sound.
    pub contents: Option<Contents>,
    /// What is wrong, the first cause first, at most [`crate::MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

impl Report {
    /// The structure is sound: every page, and etcd's own rules. It says nothing of the trailer.
    pub fn is_sound(&self) -> bool {
        self.contents.is_some() && !self.damaged_meta
    }

    /// Nothing at all is wrong. A member's own file has no trailer and is good without it: look at
    /// [`Report::trailer`], too.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.is_sound()
    }
}

/// The figures of a sound database. Revisions are etcd's, signed as there.
#[derive(Debug)]
pub struct Contents {
    /// Page size in bytes.
    pub page_size: u64,
    /// Size of the database in bytes, without trailer and unused room; `etcdutl snapshot status` says "total size".
    pub total_size: u64,
    /// CRC-32C over bucket names, keys and values: the hash of `etcdutl snapshot status`.
    pub hash: u32,
    /// The newest revision in the bucket `key`, 0 when there is none: the revision of `etcdutl snapshot status`.
    pub last_revision: i64,
    /// The revision at which a member starts with this file: the newest of [`Contents::last_revision`], both
    /// compactions and 1 (`server/storage/mvcc/kvstore.go`, restore). HashKV counts with this one.
    pub revision: i64,
    /// The compaction that was finished last.
    pub finished_compact: Option<i64>,
    /// The compaction that was begun last; a newer one than the finished one is pending.
    pub scheduled_compact: Option<i64>,
    /// Keys that exist at the newest revision, as etcdutl 3.6 counts them.
    pub total_keys: u64,
    /// Entries in the bucket `key`: every revision of every key that is still there.
    pub entries: u64,
    /// `storageVersion` of the bucket `meta`, from etcd 3.6 on.
    pub storage_version: Option<String>,
    /// The raft index up to which the file holds everything.
    pub consistent_index: Option<u64>,
    /// The raft term of that index, from etcd 3.5 on.
    pub term: Option<u64>,
    /// Leases.
    pub leases: u64,
    /// Users of etcd's own authentication.
    pub users: u64,
    /// Its roles.
    pub roles: u64,
    /// It is switched on.
    pub auth_enabled: bool,
    /// Alarms that were raised when the file was written.
    pub alarms: u64,
    pub(crate) keys: BucketRoot,
    pub(crate) latest: LiveEntries,
}

impl Contents {
    /// The oldest revision of which the file holds everything: -1 when nothing was ever compacted, as etcd says it.
    pub fn compact_revision(&self) -> i64 {
        self.finished_compact.max(self.scheduled_compact).unwrap_or(-1)
    }
}
