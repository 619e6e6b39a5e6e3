//! The snapshot file itself: is it whole, is it a sound etcd database, and what does it hold.
//!
//! Written against the format that bbolt and etcd write, read-only, with positioned reads and a bound on memory, and
//! pure: nothing here knows of clusters, terminals or asynchronous code. Every byte may be hostile, so every number out
//! of a file is checked before it is used. It answers for two levels of proof: the checksum (the sha-256 at the end)
//! and the structure; with [`hash_kv`] it gives the file's side of the third, the comparison with the members.

mod bytes;
mod check;
mod cursor;
mod freelist;
mod hash_kv;
mod identify;
mod io;
mod meta;
mod mvcc;
mod page;
mod protobuf;
mod report;
mod schema;
mod sha256;
mod tx_check;

pub use check::{Options, check};
pub use hash_kv::{HashPoint, NotComparable, hash_kv};
pub use io::read_at::ReadAt;
pub use report::{Contents, FileKind, Problem, ReadFailure, Report, Trailer};

/// Problems that are collected before an examination ends.
pub const MAX_PROBLEMS: usize = 10;

/// Hears of every read, with its length in bytes, from any of the threads at work; ends the examination by answering
/// `false`.
pub type ProgressFn<'a> = &'a (dyn Fn(u64) -> bool + Sync);
