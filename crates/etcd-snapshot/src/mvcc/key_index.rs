//! The index of all keys, which knows the live entries at any revision that is wanted.
//!
//! Sources: etcd `server/storage/mvcc/key_index.go` (`keep`) and `etcdutl/snapshot/v3_snapshot.go` (how keys are counted).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::entry::{Fingerprint, IndexEntry, KeyHasher, problem};
use super::history::{History, Link};
use super::live_entries::LiveEntries;
use super::revision::Revision;
use crate::error::Problem;
use crate::page::LeafElement;

/// Passes a fingerprint through: it is a hash already.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // `[u16; 4]` arrives as a length, which does not matter, and eight bytes.
        if let Ok(bytes) = bytes.try_into() {
            self.0 = u64::from_ne_bytes(bytes);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// The latest entry of a key.
#[derive(Debug, Clone, Copy)]
struct Latest {
    /// The low and the high half of its position.
    ordinal: [u16; 2],
    link: Link,
}

impl Latest {
    fn new(ordinal: u32, link: Link) -> Self {
        Latest { ordinal: [ordinal as u16, (ordinal >> 16) as u16], link }
    }

    fn ordinal(self) -> u32 {
        let [low, high] = self.ordinal.map(u32::from);
        high << 16 | low
    }
}

/// Builds [`LiveEntries`] from the entries of the bucket `key`, in order, and checks their history. It takes 17 to 35 bytes
/// for each live key, and half of that again while it grows.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// The latest entry of each key.
    keys: HashMap<Fingerprint, Latest, BuildHasherDefault<IdentityHasher>>,
    hasher: KeyHasher,
    live: LiveEntries,
    /// The leases of the latest entries that have one.
    leases: HashMap<u32, i64>,
    entries: u32,
    /// The wanted revisions that are still to come, the next one last.
    wanted: Vec<i64>,
    previous: Option<Revision>,
    history: History,
}

impl KeyIndex {
    /// `revisions`: those for which [`LiveEntries::at`] will be called, besides the newest one. `compacted`: the scheduled
    /// compaction, above which the history is complete; `i64::MAX` if it was checked before.
    pub(crate) fn new(revisions: &[i64], compacted: Option<i64>) -> Self {
        let mut wanted = revisions.to_vec();
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        KeyIndex {
            keys: HashMap::default(),
            hasher: KeyHasher::default(),
            live: LiveEntries::default(),
            leases: HashMap::new(),
            entries: 0,
            wanted,
            previous: None,
            history: History::new(compacted),
        }
    }

    pub(super) fn hasher(&self) -> KeyHasher {
        self.hasher.clone()
    }

    /// Checks the next entry and adds it.
    ///
    /// # Errors
    /// etcd does not write such an entry, or not there.
    pub(crate) fn add_element(&mut self, element: &LeafElement<'_>) -> Result<(), Problem> {
        self.add(IndexEntry::new(element, &self.hasher)?)
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// The entry does not belong behind the one before it.
    pub(super) fn add(&mut self, entry: IndexEntry) -> Result<(), Problem> {
        let IndexEntry { revision, key, before, link, lease, offset } = entry;
        let Revision { main, sub, tombstone } = revision;
        // The keys are in order, so only a tombstone can have the revision of the entry before it.
        if self.previous.is_some_and(|previous| (previous.main, previous.sub) >= (main, sub)) {
            let what = format!("revision {main}/{sub} is there twice, as an entry and as a tombstone");
            return Err(problem(offset, what));
        }
        self.previous = Some(revision);
        while let Some(wanted) = self.wanted.pop_if(|wanted| *wanted < main) {
            self.live.keep(wanted);
        }
        let ordinal = self.entries;
        self.entries = ordinal.checked_add(1).ok_or_else(|| Problem {
            what: "the database has more than four billion revisions".to_owned(),
            offset: Some(offset),
            hint: "no etcd can store so many: another program wrote the file".to_owned(),
        })?;
        let previous =
            if tombstone { self.keys.remove(&key) } else { self.keys.insert(key, Latest::new(ordinal, link)) };
        self.history.add(revision, before, previous.map(|latest| latest.link), offset);
        if let Some(previous) = previous.filter(|_| !self.leases.is_empty()) {
            self.leases.remove(&previous.ordinal());
        }
        if lease != 0 {
            self.leases.insert(ordinal, lease);
        }
        self.live.add(ordinal, main, tombstone, previous.map(Latest::ordinal));
        Ok(())
    }

    /// Returns the number of entries.
    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    /// Returns a lease that a key names and `exists` denies, the one with the least ID.
    pub(crate) fn lost_lease(&self, exists: impl Fn(i64) -> bool) -> Option<i64> {
        self.leases.values().copied().filter(|lease| !exists(*lease)).min()
    }

    /// Returns the live entries, and what is wrong with the history.
    pub(crate) fn finish(self) -> (LiveEntries, Option<Problem>) {
        (self.live, self.history.into_problem())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::key;
    use super::*;

    /// A `mvccpb.KeyValue` of key `name` with one byte for each number.
    fn value(name: &str, create: u8, modified: u8, version: u8) -> Vec<u8> {
        let mut value = vec![0x0a, name.len() as u8];
        value.extend(name.bytes());
        value.extend([0x10, create, 0x18, modified, 0x20, version]);
        value
    }

    fn tombstone(name: &str) -> Vec<u8> {
        value(name, 0, 0, 0)[..2 + name.len()].to_vec()
    }

    fn add(index: &mut KeyIndex, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        index.add_element(&LeafElement { key, value, is_bucket: false, offset: 0, page: 2 })
    }

    #[test]
    fn the_live_entries_at_each_wanted_revision() {
        let mut index = KeyIndex::new(&[5, 3, 3], None);
        for (key, value) in [
            (key(2, 0, false), value("a", 2, 2, 1)),
            (key(3, 0, false), value("b", 3, 3, 1)),
            (key(4, 0, false), value("a", 2, 4, 2)),
            (key(5, 0, true), tombstone("b")),
            (key(6, 0, false), value("b", 6, 6, 1)),
        ] {
            add(&mut index, &key, &value).expect("etcd writes it");
        }
        let (live, problem) = index.finish();
        assert_eq!(problem, None);
        let at = |revision| {
            let bits = live.at(revision)?;
            Some((0..5).map(|entry| if bits.get(entry) { 'x' } else { '.' }).collect::<String>())
        };
        assert_eq!(at(3).as_deref(), Some("xx..."));
        assert_eq!(at(5).as_deref(), Some("..x.."), "a deleted key has no live entry");
        assert_eq!(at(6).as_deref(), Some("..x.x"));
        assert_eq!(at(99), at(6), "nothing happened since");
        assert_eq!(at(4), None, "it was not asked for");
        assert_eq!(live.count(), 2);
    }

    /// `etcdctl/ctlv3/command/migrate_command.go`, up to etcd 3.5: version 1 and both indexes of the v2 node.
    #[test]
    fn keys_that_were_migrated_from_etcd_v2_are_accepted() {
        let mut index = KeyIndex::new(&[], None);
        add(&mut index, &key(9, 0, false), &value("a", 4, 9, 1)).expect("etcdctl migrate writes it");
        add(&mut index, &key(11, 0, false), &value("a", 4, 11, 2)).expect("etcd writes it");
    }

    #[test]
    fn entries_that_contradict_themselves_are_refused() {
        for (key, value, what) in [
            (key(9, 0, false), value("a", 2, 8, 2), "other revisions"),
            (key(9, 0, false), value("a", 10, 9, 2), "other revisions"),
            (key(9, 0, false), value("a", 9, 9, 2), "other revisions"),
            (key(9, 0, false), value("a", 2, 9, 0), "other revisions"),
            (key(9, 0, false), value("", 2, 9, 2), "has no key"),
            (key(9, 0, true), value("a", 2, 9, 2), "more than a key"),
            (key(9, 0, false), vec![0x0a, 9, b'a'], "cannot be decoded"),
            (key(9, 0, false)[..9].to_vec(), value("a", 2, 9, 2), "not a revision"),
        ] {
            let problem = add(&mut KeyIndex::new(&[], None), &key, &value).expect_err(what);
            assert!(problem.what.contains(what), "{what}: {}", problem.what);
        }
        let mut index = KeyIndex::new(&[], None);
        add(&mut index, &key(9, 0, false), &value("a", 2, 9, 2)).expect("etcd writes it");
        assert!(add(&mut index, &key(9, 0, true), &tombstone("a")).is_err(), "one revision, one entry");
        // The mark of a restore that bumps the revision.
        add(&mut index, &key(1000, 0, false), b"").expect("etcd writes it");
    }
}
