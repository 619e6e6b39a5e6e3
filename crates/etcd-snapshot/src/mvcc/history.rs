//! The history of all keys since the last compaction: nothing is missing from it.
//!
//! Sources: etcd `server/storage/mvcc/kvstore_txn.go` (a transaction that changes something takes the next main revision,
//! and its changes the sub revisions 0, 1, 2 and so on; a put counts the version up and keeps the create revision; a
//! delete needs a key that exists) and `kvstore_compaction.go` (a compaction removes nothing above its revision, and below
//! it keeps the latest entry of each key that exists).

use super::revision::Revision;
use crate::error::Problem;

/// What an entry says about the entry before it with the same key, in few bytes, because the index has one for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u16);

impl Link {
    /// There is no entry before it, or a tombstone.
    const NONE: Link = Link(0);
    /// Version 1 with an older create revision: 'etcdctl migrate' wrote keys of etcd v2 like this.
    const MIGRATED: Link = Link(1);

    /// The link of the entry with this version and create revision. By chance, one of 32 000 wrong ones is
    /// equal: a few of them in a row are not.
    pub(super) fn to(create_revision: i64, version: i64) -> Self {
        let mixed = (create_revision ^ version.rotate_left(32)).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Link((mixed >> 48) as u16 | 2)
    }

    /// The link that the entry before must have.
    pub(super) fn before(main: i64, create_revision: i64, version: i64) -> Self {
        match version {
            1 if create_revision == main => Link::NONE,
            1 => Link::MIGRATED,
            version => Link::to(create_revision, version.wrapping_sub(1)),
        }
    }
}

/// Checks the entries above the last compaction.
#[derive(Debug)]
pub(super) struct History {
    /// All entries above this revision must be there.
    compacted: i64,
    /// The revision of the entry before.
    last: Option<Revision>,
    problem: Option<Problem>,
    /// How many problems there are in all.
    problems: u64,
    /// The file can be that of a store of etcd v2: see [`History::into_problem`].
    starts_late: bool,
    is_migrated: bool,
}

impl History {
    /// `compacted`: the scheduled compaction, if there is one. `i64::MAX` turns the check off.
    pub(super) fn new(compacted: Option<i64>) -> Self {
        History {
            // The first revision of an empty etcd is 1, and the first change has 2.
            compacted: compacted.unwrap_or_default().max(1),
            last: None,
            problem: None,
            problems: 0,
            starts_late: compacted.is_none(),
            is_migrated: false,
        }
    }

    /// Checks the next entry. `before` is what it says about the entry before it with the same key, unless it is a tombstone,
    /// and `found` the link of that one, if the key exists.
    pub(super) fn add(&mut self, revision: Revision, before: Link, found: Option<Link>, offset: u64) {
        let Revision { main, sub, tombstone } = revision;
        let last = self.last.replace(revision).filter(|last| last.main > self.compacted);
        if main <= self.compacted {
            return;
        }
        if last.is_none() && main == self.compacted + 1 {
            self.starts_late = false;
        }
        self.is_migrated |= !tombstone && before == Link::MIGRATED;
        let (last_main, last_sub) = last.map_or((self.compacted, None), |last| (last.main, Some(last.sub)));
        let first_sub = if main == last_main { last_sub.map_or(0, |sub| sub + 1) } else { 0 };
        if main > last_main + 1 {
            let missing = match main - last_main {
                2 => format!("revision {} is", last_main + 1),
                _ => format!("the revisions {} to {} are", last_main + 1, main - 1),
            };
            self.report(offset, || format!("{missing} missing from the history: the next entry is at revision {main}"));
        } else if sub != first_sub {
            self.report(offset, || {
                format!("revision {main}/{first_sub} is missing from the history: the next entry is at {main}/{sub}")
            });
        }
        if tombstone && found.is_none() {
            self.report(offset, || {
                format!("the entry at revision {main}/{sub} deletes a key that does not exist: an entry before it is missing")
            });
        }
        if !tombstone && before != found.unwrap_or(Link::NONE) {
            self.report(offset, || {
                format!(
                    "the entry at revision {main}/{sub} does not continue the version and create revision of its key: an entry \
                     before it is missing or was changed"
                )
            });
        }
    }

    fn report(&mut self, offset: u64, what: impl FnOnce() -> String) {
        self.problems += 1;
        self.problem.get_or_insert_with(|| Problem {
            what: what(),
            offset: Some(offset),
            hint: "a write to the disk was lost, or entries were removed: take the snapshot again, from another member if \
                   there is one"
                .to_owned(),
        });
    }

    /// Returns the first problem.
    ///
    /// A store that was migrated from etcd v2 and never compacted since has the revisions of v2, with gaps. The first one is
    /// above 2, because etcd v2 itself wrote before its users did.
    pub(super) fn into_problem(self) -> Option<Problem> {
        if self.is_migrated && self.starts_late {
            return None;
        }
        self.problem.map(|problem| match self.problems {
            1 => problem,
            all => Problem { what: format!("{} (1 of {all} problems of the history)", problem.what), ..problem },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_index::KeyIndex;
    use super::super::testing::{key, key_value};
    use crate::page::LeafElement;

    /// An entry: name, main and sub revision, create revision and version. A tombstone has neither.
    type Entry = (&'static str, u64, u64, Option<(u64, u64)>);

    fn put(name: &'static str, main: u64, sub: u64, create: u64, version: u64) -> Entry {
        (name, main, sub, Some((create, version)))
    }

    fn delete(name: &'static str, main: u64) -> Entry {
        (name, main, 0, None)
    }

    /// Returns the problem of a history with these entries.
    fn problem(compacted: Option<i64>, entries: &[Entry]) -> Option<String> {
        let mut index = KeyIndex::new(&[], compacted);
        for (name, main, sub, put) in entries {
            let key = key(*main, *sub, put.is_none());
            let mut value = key_value(name, 0, 0, 0, 0)[..2 + name.len()].to_vec();
            if let Some((create, version)) = put {
                value = key_value(name, *create, *version, *main, 0);
            }
            let element = LeafElement { key: &key, value: &value, is_bucket: false, offset: 7, page: 2 };
            index.add_element(&element).expect("each entry is what etcd writes");
        }
        index.finish().1.map(|problem| problem.what)
    }

    #[test]
    fn a_complete_history_has_no_problem() {
        let all = [
            put("a", 2, 0, 2, 1),
            put("b", 3, 0, 3, 1),
            put("a", 3, 1, 2, 2),
            delete("a", 4),
            put("a", 5, 0, 5, 1),
            put("a", 6, 0, 5, 2),
        ];
        assert_eq!(problem(None, &all), None);
        // What a compaction at 4 and at 5 leaves, in any state.
        for (compacted, removed) in [(4, &[0, 2, 3][..]), (4, &[0]), (5, &[0, 2, 3])] {
            let left: Vec<Entry> = (0..all.len()).filter(|at| !removed.contains(at)).map(|at| all[at]).collect();
            assert_eq!(problem(Some(compacted), &left), None, "{compacted} {removed:?}");
        }
        assert_eq!(problem(None, &[]), None);
        assert_eq!(problem(Some(9), &[]), None);
    }

    #[test]
    fn a_missing_entry_is_a_problem() {
        let history =
            [put("a", 2, 0, 2, 1), put("b", 3, 0, 3, 1), put("a", 3, 1, 2, 2), delete("a", 4), put("a", 5, 0, 5, 1)];
        for (missing, what) in [
            (
                0,
                "revision 2 is missing from the history: the next entry is at revision 3 (1 of 2 problems of the history)",
            ),
            (1, "revision 3/0 is missing from the history: the next entry is at 3/1"),
            (
                3,
                "revision 4 is missing from the history: the next entry is at revision 5 (1 of 2 problems of the history)",
            ),
        ] {
            let left: Vec<Entry> = (0..history.len()).filter(|at| *at != missing).map(|at| history[at]).collect();
            assert_eq!(problem(None, &left).as_deref(), Some(what));
        }
        let far = "the revisions 3 to 9 are missing from the history: the next entry is at revision 10";
        assert_eq!(problem(None, &[put("a", 2, 0, 2, 1), put("b", 10, 0, 10, 1)]).as_deref(), Some(far));
        let behind = "revision 10 is missing from the history: the next entry is at revision 11";
        assert_eq!(problem(Some(9), &[put("a", 2, 0, 2, 1), put("b", 11, 0, 11, 1)]).as_deref(), Some(behind));
    }

    #[test]
    fn a_broken_version_chain_is_a_problem() {
        let first = put("a", 2, 0, 2, 1);
        for (next, what) in [
            (put("a", 3, 0, 2, 3), "the entry at revision 3/0 does not continue"),
            (put("a", 3, 0, 1, 2), "the entry at revision 3/0 does not continue"),
            (put("a", 3, 0, 3, 1), "the entry at revision 3/0 does not continue"),
            (put("b", 3, 0, 2, 2), "the entry at revision 3/0 does not continue"),
            (put("b", 3, 0, 2, 1), "the entry at revision 3/0 does not continue"),
            (delete("b", 3), "the entry at revision 3/0 deletes a key that does not exist"),
        ] {
            let found = problem(None, &[first, next]).unwrap_or_default();
            assert!(found.starts_with(what), "{next:?}: {found}");
        }
    }

    /// `etcdctl/ctlv3/command/migrate_command.go`, up to etcd 3.5: version 1 and both indexes of the v2 node.
    #[test]
    fn a_store_that_was_migrated_from_etcd_v2_has_gaps() {
        let migrated = [put("a", 9, 0, 4, 1), put("b", 14, 0, 14, 1), put("a", 15, 0, 4, 2)];
        assert_eq!(problem(None, &migrated), None);
        assert_eq!(problem(Some(14), &migrated), None, "compacted since");
        // With the first revision of etcd v3 it is not such a store.
        assert!(problem(None, &[put("c", 2, 0, 2, 1), migrated[0]]).is_some());
    }
}
