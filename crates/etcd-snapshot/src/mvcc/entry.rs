//! One entry of the bucket `key`: a revision and its `mvccpb.KeyValue`.
//!
//! Sources: etcd `server/storage/mvcc/kvstore_txn.go` (what a put and a delete write) and
//! `etcdutl/snapshot/v3_snapshot.go` (a restore that bumps the revision leaves an entry without a value).

use std::hash::{BuildHasher, RandomState};

use super::history::Link;
use super::revision::Revision;
use crate::error::Problem;
use crate::page::LeafElement;
use crate::protobuf::KeyValue;

/// The hash of a key. [`KeyHasher`] has a secret that changes with each run, so no file can provoke equal fingerprints. By
/// chance, two of ten million keys have equal ones once in 370 000 runs. Its parts are small, so that the index has no
/// padding.
pub(super) type Fingerprint = [u16; 4];

/// Computes fingerprints.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

/// What the index needs to know of an entry.
#[derive(Debug)]
pub(super) struct IndexEntry {
    pub(super) revision: Revision,
    pub(super) key: Fingerprint,
    /// What it says about the entry before it with the same key, unless it is a tombstone.
    pub(super) before: Link,
    /// What the next entry with the same key must say about it.
    pub(super) link: Link,
    /// The lease of the key; 0 if it has none.
    pub(super) lease: i64,
    /// The offset in the file.
    pub(super) offset: u64,
}

impl IndexEntry {
    /// Checks an entry without those around it.
    ///
    /// # Errors
    /// etcd does not write such an entry.
    pub(super) fn new(element: &LeafElement<'_>, hasher: &KeyHasher) -> Result<Self, Problem> {
        let (revision, kv) = check(element)?;
        let hash = hasher.0.hash_one(kv.key);
        Ok(IndexEntry {
            revision,
            key: [hash as u16, (hash >> 16) as u16, (hash >> 32) as u16, (hash >> 48) as u16],
            before: Link::before(revision.main, kv.create_revision, kv.version),
            link: Link::to(kv.create_revision, kv.version),
            lease: kv.lease,
            offset: element.offset,
        })
    }
}

/// Returns the problem of an entry at `offset`.
pub(super) fn problem(offset: u64, what: String) -> Problem {
    Problem {
        what,
        offset: Some(offset),
        hint: "bytes of this entry were changed, or another program than etcd wrote it: take the snapshot again"
            .to_owned(),
    }
}

/// Returns the revision of an entry and its value, if etcd writes such an entry.
fn check<'a>(element: &LeafElement<'a>) -> Result<(Revision, KeyValue<'a>), Problem> {
    let problem = |what: String| problem(element.offset, what);
    if element.is_bucket {
        return Err(problem("the bucket \"key\" has a bucket among its entries".to_owned()));
    }
    let revision = Revision::parse(element.key)
        .ok_or_else(|| problem("an entry of the bucket \"key\" has a key that is not a revision".to_owned()))?;
    let Revision { main, sub, tombstone } = revision;
    let bad = |what: &str| problem(format!("the entry at revision {main}/{sub} {what}"));
    let kv = KeyValue::parse(element.value).ok_or_else(|| bad("has a value that cannot be decoded"))?;
    // The mark that a restore with a bumped revision leaves has an empty value.
    let is_mark = element.value.is_empty() && !tombstone;
    if kv.key.is_empty() && !is_mark {
        return Err(bad("has no key"));
    }
    if tombstone {
        // A delete writes the key alone.
        let bare = KeyValue { key: kv.key, ..KeyValue::default() };
        return if kv == bare { Ok((revision, kv)) } else { Err(bad("is a tombstone with more than a key")) };
    }
    let is_plausible = kv.mod_revision == main
        && kv.version >= 1
        && (1..=main).contains(&kv.create_revision)
        // 'etcdctl migrate' wrote keys of etcd v2 with version 1 and an older create revision.
        && (kv.version == 1 || kv.create_revision < main);
    if is_mark || is_plausible { Ok((revision, kv)) } else { Err(bad("has other revisions in its value")) }
}
