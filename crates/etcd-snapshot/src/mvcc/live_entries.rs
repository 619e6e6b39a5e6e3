//! Which entries of the bucket `key` are live.

use crate::bitmap::Bitmap;

/// The live entries at the newest revision and at those that were asked for: per key the latest one, unless it is a
/// tombstone. etcd calls this `keep` (`server/storage/mvcc/key_index.go`).
///
/// An entry is its position in the bucket, so this takes one bit for each entry and revision.
#[derive(Debug, Default)]
pub(crate) struct LiveEntries {
    newest: Bitmap,
    at: Vec<(i64, Bitmap)>,
    last_revision: i64,
}

impl LiveEntries {
    /// Returns the live entries at `revision`; `None` if it was not asked for.
    pub(crate) fn at(&self, revision: i64) -> Option<&Bitmap> {
        if revision >= self.last_revision {
            return Some(&self.newest);
        }
        self.at.iter().find(|(at, _)| *at == revision).map(|(_, bits)| bits)
    }

    /// Returns the newest revision in the bucket.
    pub(crate) fn last_revision(&self) -> i64 {
        self.last_revision
    }

    /// Returns the number of keys that exist at the newest revision.
    pub(crate) fn count(&self) -> u64 {
        self.newest.count()
    }

    /// Adds the entry at position `ordinal`. `previous` is the entry that was the latest of its key.
    pub(super) fn add(&mut self, ordinal: u32, main: i64, tombstone: bool, previous: Option<u32>) {
        self.last_revision = main;
        if !tombstone {
            self.newest.set(u64::from(ordinal));
        }
        if let Some(previous) = previous {
            self.newest.clear(u64::from(previous));
        }
    }

    /// Keeps the live entries as they are now for `revision`.
    pub(super) fn keep(&mut self, revision: i64) {
        self.at.push((revision, self.newest.clone()));
    }
}
