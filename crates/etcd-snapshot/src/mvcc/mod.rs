//! The bucket `key`: every revision of every key. Named after etcd's `server/storage/mvcc`.

mod entry;
mod history;
mod key_index;
mod live_entries;
mod parallel;
mod revision;
mod segment;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use key_index::KeyIndex;
pub(crate) use live_entries::LiveEntries;
pub use parallel::ParallelWalk;
pub(crate) use parallel::walk_key_bucket;
pub(crate) use revision::Revision;
