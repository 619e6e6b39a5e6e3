//! The bucket `key`: every revision of every key, and which of them are the latest.
//!
//! Sources: etcd `server/storage/mvcc/revision.go` (keys of 17 bytes, or 18 for a tombstone), `kvstore_txn.go` (what a
//! put and a delete write), `etcdutl/snapshot/v3_snapshot.go` (how keys are counted; a restore that bumps the revision
//! leaves an entry without a value), `key_index.go` (`keep`: per key the latest revision, unless it is a tombstone).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use crate::bytes::{Bitmap, be_u64};
use crate::page::layout::LeafElement;
use crate::protobuf::KeyValue;
use crate::report::Problem;

/// A revision and what happened at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) main: i64,
    pub(crate) sub: i64,
    pub(crate) tombstone: bool,
}

impl Revision {
    /// Reads a key of the bucket, or a revision in the bucket `meta`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (bytes, tombstone) = match bytes {
            [bytes @ .., b't'] if bytes.len() == 17 => (bytes, true),
            bytes => (bytes, false),
        };
        if bytes.len() != 17 || bytes[8] != b'_' {
            return None;
        }
        let main = be_u64(&bytes[..8])?.cast_signed();
        let sub = be_u64(&bytes[9..])?.cast_signed();
        (main >= 0 && sub >= 0).then_some(Revision { main, sub, tombstone })
    }
}

/// A key's fingerprint is taken with a secret that changes with each run, so no file can provoke equal ones; by chance
/// two of ten million keys are equal once in 370 000 runs.
type Fingerprint = [u32; 2];

/// A fingerprint is as good a hash as any.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // `[u32; 2]` arrives as a length, which says nothing, and eight bytes.
        if let Ok(bytes) = bytes.try_into() {
            self.0 = u64::from_ne_bytes(bytes);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// Which entries of the bucket are the latest of their key, at the newest revision and at others that were asked for.
/// An entry is its place in the bucket, so this costs a bit for each, and while it is built 13 to 26 bytes for each key.
#[derive(Debug, Default)]
pub(crate) struct LiveEntries {
    newest: Bitmap,
    at: Vec<(i64, Bitmap)>,
    last: i64,
}

impl LiveEntries {
    /// One bit for each entry: at `revision` it is its key's latest, and no tombstone. `None` when it was not asked for.
    pub(crate) fn at(&self, revision: i64) -> Option<&Bitmap> {
        if revision >= self.last {
            return Some(&self.newest);
        }
        self.at.iter().find(|(at, _)| *at == revision).map(|(_, bits)| bits)
    }

    /// The newest revision in the bucket.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Keys that exist at the newest revision.
    pub(crate) fn count(&self) -> u64 {
        self.newest.count()
    }
}

/// The secret with which fingerprints are taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

/// What is kept of an entry until its turn comes.
#[derive(Debug)]
pub(crate) struct IndexEntry {
    revision: Revision,
    key: Fingerprint,
    /// Where it is in the file.
    offset: u64,
}

impl IndexEntry {
    /// Looks at an entry by itself.
    ///
    /// # Errors
    /// It is none that etcd writes.
    pub(crate) fn of(leaf: &LeafElement<'_>, hasher: &KeyHasher) -> Result<Self, Problem> {
        let (revision, key) = check(leaf)?;
        let print = hasher.0.hash_one(key);
        Ok(IndexEntry { revision, key: [print as u32, (print >> 32) as u32], offset: leaf.offset })
    }
}

/// Builds [`LiveEntries`] while the entries come by in order.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    keys: HashMap<Fingerprint, u32, BuildHasherDefault<IdentityHasher>>,
    hasher: KeyHasher,
    latest: LiveEntries,
    entries: u32,
    /// Revisions that are still to come at which the state is wanted; the next one is the last.
    wanted: Vec<i64>,
    previous: Option<Revision>,
}

impl KeyIndex {
    /// `revisions`: those at which [`LiveEntries::at`] will be asked, besides the newest one.
    pub(crate) fn new(revisions: &[i64]) -> Self {
        let mut wanted = revisions.to_vec();
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        KeyIndex {
            keys: HashMap::default(),
            hasher: KeyHasher::default(),
            latest: LiveEntries::default(),
            entries: 0,
            wanted,
            previous: None,
        }
    }

    /// For [`IndexEntry::of`].
    pub(crate) fn hasher(&self) -> KeyHasher {
        self.hasher.clone()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// It is none that etcd writes, or none that it writes there.
    pub(crate) fn entry(&mut self, leaf: &LeafElement<'_>) -> Result<(), Problem> {
        self.add(IndexEntry::of(leaf, &self.hasher)?)
    }

    /// Takes the next entry, which was looked at already.
    ///
    /// # Errors
    /// It does not belong behind the one before it.
    pub(crate) fn add(&mut self, entry: IndexEntry) -> Result<(), Problem> {
        let IndexEntry { revision, key, offset } = entry;
        let Revision { main, sub, tombstone } = revision;
        if self.previous.is_some_and(|previous| (previous.main, previous.sub) >= (main, sub)) {
            return Err(changed(
                offset,
                format!("the entry at revision {main}/{sub} is there twice, once as a tombstone"),
            ));
        }
        self.previous = Some(revision);
        while let Some(wanted) = self.wanted.pop_if(|wanted| *wanted < main) {
            self.latest.at.push((wanted, self.latest.newest.clone()));
        }
        let ordinal = self.entries;
        self.entries = ordinal.checked_add(1).ok_or_else(|| Problem {
            what: "the database has more than four billion revisions".to_owned(),
            offset: Some(offset),
            hint: "no etcd gets this large; the file was made by something else".to_owned(),
        })?;
        self.latest.last = main;
        let before = if tombstone {
            self.keys.remove(&key)
        } else {
            self.latest.newest.set(u64::from(ordinal));
            self.keys.insert(key, ordinal)
        };
        if let Some(before) = before {
            self.latest.newest.clear(u64::from(before));
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    pub(crate) fn finish(self) -> LiveEntries {
        self.latest
    }
}

fn changed(offset: u64, what: String) -> Problem {
    Problem {
        what,
        offset: Some(offset),
        hint: "bytes of this entry were changed, or the bucket was written by something else than etcd".to_owned(),
    }
}

/// An entry's revision and key, if it is what etcd writes.
fn check<'a>(leaf: &LeafElement<'a>) -> Result<(Revision, &'a [u8]), Problem> {
    let problem = |what: String| changed(leaf.offset, what);
    if leaf.is_bucket {
        return Err(problem("the bucket \"key\" has a bucket among its entries".to_owned()));
    }
    let revision = Revision::parse(leaf.key)
        .ok_or_else(|| problem("an entry of the bucket \"key\" has a key that is no revision".to_owned()))?;
    let Revision { main, sub, tombstone } = revision;
    let bad = |what: &str| problem(format!("the entry at revision {main}/{sub} {what}"));
    let kv = KeyValue::parse(leaf.value).ok_or_else(|| bad("holds a value that cannot be decoded"))?;
    // The mark that a restore with a bumped revision leaves has no value at all.
    let is_mark = leaf.value.is_empty() && !tombstone;
    if kv.key.is_empty() && !is_mark {
        return Err(bad("belongs to no key"));
    }
    if tombstone {
        // A delete writes the key alone.
        let bare = KeyValue { key: kv.key, ..KeyValue::default() };
        return if kv == bare {
            Ok((revision, kv.key))
        } else {
            Err(bad("is a tombstone that holds more than its key"))
        };
    }
    let plausible = kv.mod_revision == main
        && kv.version >= 1
        && (1..=main).contains(&kv.create_revision)
        // What 'etcdctl migrate' took over from etcd v2 is in its first version, but older than that.
        && (kv.version == 1 || kv.create_revision < main);
    if is_mark || plausible { Ok((revision, kv.key)) } else { Err(bad("holds other revisions than its key says")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(main: u64, sub: u64, tombstone: bool) -> Vec<u8> {
        let mut key = main.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(sub.to_be_bytes());
        key.extend(tombstone.then_some(b't'));
        key
    }

    /// `name` with one byte for each number.
    fn value(name: &str, create: u8, modified: u8, version: u8) -> Vec<u8> {
        let mut value = vec![0x0a, name.len() as u8];
        value.extend(name.bytes());
        value.extend([0x10, create, 0x18, modified, 0x20, version]);
        value
    }

    fn tombstone(name: &str) -> Vec<u8> {
        value(name, 0, 0, 0)[..2 + name.len()].to_vec()
    }

    fn take(index: &mut KeyIndex, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        index.entry(&LeafElement { key, value, is_bucket: false, offset: 0, page: 2 })
    }

    #[test]
    fn revisions_have_their_marks_and_no_sign() {
        let revision = Revision { main: 7, sub: 2, tombstone: true };
        assert_eq!(Revision::parse(&key(7, 2, true)), Some(revision));
        assert_eq!(Revision::parse(&key(7, 2, false)[..16]), None);
        assert_eq!(Revision::parse(&key(1 << 63, 0, false)), None);
        let mut other = key(7, 2, true);
        other[17] = b'x';
        assert_eq!(Revision::parse(&other), None, "etcd writes no other mark");
    }

    #[test]
    fn the_latest_of_each_key_at_each_wanted_revision() {
        let mut index = KeyIndex::new(&[5, 3, 3]);
        for (key, value) in [
            (key(2, 0, false), value("a", 2, 2, 1)),
            (key(3, 0, false), value("b", 3, 3, 1)),
            (key(4, 0, false), value("a", 2, 4, 2)),
            (key(5, 0, true), tombstone("b")),
            (key(6, 0, false), value("b", 6, 6, 1)),
        ] {
            take(&mut index, &key, &value).expect("etcd writes it");
        }
        let latest = index.finish();
        let at = |revision| {
            let bits = latest.at(revision)?;
            Some((0..5).map(|entry| if bits.get(entry) { 'x' } else { '.' }).collect::<String>())
        };
        assert_eq!(at(3).as_deref(), Some("xx..."));
        assert_eq!(at(5).as_deref(), Some("..x.."), "a deleted key has no latest entry");
        assert_eq!(at(6).as_deref(), Some("..x.x"));
        assert_eq!(at(99), at(6), "nothing happened since");
        assert_eq!(at(4), None, "nobody asked for it");
        assert_eq!(latest.count(), 2);
    }

    /// `etcdctl/ctlv3/command/migrate_command.go`, up to etcd 3.5: version 1 and both indexes of the v2 node.
    #[test]
    fn keys_that_were_migrated_from_etcd_v2_are_taken() {
        let mut index = KeyIndex::new(&[]);
        take(&mut index, &key(9, 0, false), &value("a", 4, 9, 1)).expect("etcdctl migrate writes it");
        take(&mut index, &key(11, 0, false), &value("a", 4, 11, 2)).expect("etcd writes it");
    }

    #[test]
    fn entries_that_contradict_themselves_are_refused() {
        for (key, value, what) in [
            (key(9, 0, false), value("a", 2, 8, 2), "other revisions"),
            (key(9, 0, false), value("a", 10, 9, 2), "other revisions"),
            (key(9, 0, false), value("a", 9, 9, 2), "other revisions"),
            (key(9, 0, false), value("a", 2, 9, 0), "other revisions"),
            (key(9, 0, false), value("", 2, 9, 2), "belongs to no key"),
            (key(9, 0, true), value("a", 2, 9, 2), "more than its key"),
            (key(9, 0, false), vec![0x0a, 9, b'a'], "cannot be decoded"),
            (key(9, 0, false)[..9].to_vec(), value("a", 2, 9, 2), "no revision"),
        ] {
            let problem = take(&mut KeyIndex::new(&[]), &key, &value).expect_err(what);
            assert!(problem.what.contains(what), "{what}: {}", problem.what);
        }
        let mut index = KeyIndex::new(&[]);
        take(&mut index, &key(9, 0, false), &value("a", 2, 9, 2)).expect("etcd writes it");
        assert!(take(&mut index, &key(9, 0, true), &tombstone("a")).is_err(), "one revision, one entry");
        // What a restore leaves that bumps the revision.
        take(&mut index, &key(1000, 0, false), b"").expect("etcd writes it");
    }
}
