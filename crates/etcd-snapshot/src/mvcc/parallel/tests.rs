use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::testing::key;
use super::*;
use crate::error::{MAX_PROBLEMS, Problem};
use crate::io::{ProgressFn, ReadCoordinator, ReadScheduler};
use crate::page::testing::{PAGE_SIZE, branch_page, leaf_page};

const ENTRIES_PER_LEAF: u64 = 16;
const CHILDREN_PER_BRANCH: usize = 20;

/// Production's thresholds, with which all these databases are read by one thread, and some for two threads.
const SETTINGS: [ParallelWalk; 5] = [
    ParallelWalk { min_pages: 2048, segment_leaves: 512 },
    ParallelWalk { min_pages: 0, segment_leaves: 512 },
    ParallelWalk { min_pages: 0, segment_leaves: 0 },
    ParallelWalk { min_pages: 0, segment_leaves: 50 },
    ParallelWalk { min_pages: 4, segment_leaves: 8 },
];

/// A `mvccpb.KeyValue` of the first version of a key.
fn value(revision: u64) -> Vec<u8> {
    let mut varint = Vec::new();
    let mut rest = revision;
    while rest >= 0x80 {
        varint.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    let name = revision.to_be_bytes();
    [&[0x0a, 8], &name[..], &[0x10], &varint, &[0x18], &varint, &[0x20, 1]].concat()
}

/// A database with the bucket `key` alone. Its leaf pages lie in the opposite order of their keys.
struct Tree {
    file: Vec<u8>,
    root: u64,
    /// The leaf pages in the order of the keys.
    leaves: Vec<u64>,
    /// The branch pages above them.
    parents: Vec<u64>,
}

impl Tree {
    fn new(leaves: u64) -> Self {
        let mut pages = vec![vec![0; PAGE_SIZE]; 2 + leaves as usize];
        let mut level = Vec::new();
        for leaf in 0..leaves {
            let id = 2 + leaves - 1 - leaf;
            let revisions = 1 + leaf * ENTRIES_PER_LEAF..=(leaf + 1) * ENTRIES_PER_LEAF;
            let entries: Vec<_> = revisions.map(|revision| (key(revision, 0, false), value(revision))).collect();
            let elements: Vec<_> = entries.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            pages[id as usize] = leaf_page(id, &elements);
            level.push((entries[0].0.clone(), id));
        }
        let leaves = level.iter().map(|(_, id)| *id).collect();
        let mut parents = Vec::new();
        while level.len() > 1 {
            let branch = |children: &[(Vec<u8>, u64)]| {
                let id = pages.len() as u64;
                pages.push(branch_page(id, &children.iter().map(|(key, id)| (&key[..], *id)).collect::<Vec<_>>()));
                (children[0].0.clone(), id)
            };
            level = level.chunks(CHILDREN_PER_BRANCH).map(branch).collect();
            if parents.is_empty() {
                parents = level.iter().map(|(_, id)| *id).collect();
            }
        }
        Tree { file: pages.concat(), root: level[0].1, leaves, parents }
    }

    fn page(&mut self, id: u64) -> &mut [u8] {
        &mut self.file[id as usize * PAGE_SIZE..][..PAGE_SIZE]
    }

    fn walk(&self, parallel: &ParallelWalk) -> Outcome {
        walk(&self.file[..], self.root, parallel, &|_| true).expect("memory can be read")
    }

    /// The outcome with all settings, which must be the same.
    fn outcome(&self) -> Outcome {
        let [first, rest @ ..] = &SETTINGS;
        let expected = self.walk(first);
        for parallel in rest {
            for _ in 0..4 {
                assert_eq!(self.walk(parallel), expected, "{parallel:?}");
            }
        }
        expected
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    /// Only of a sound tree: the rest of a corrupt one is skipped.
    hash: Option<u32>,
    problems: Vec<Problem>,
    entries: u64,
    live: u64,
    last_revision: i64,
}

fn walk<S: ReadAt + ?Sized>(
    source: &S,
    root: u64,
    parallel: &ParallelWalk,
    progress: ProgressFn<'_>,
) -> Result<Outcome, ReadFailure> {
    let coordinator = ReadCoordinator::new(false);
    let high_water_mark = source.size()? / PAGE_SIZE as u64;
    let scheduler = ReadScheduler::new(&coordinator, progress);
    let reader = PageReader::new(source, PAGE_SIZE as u64, high_water_mark, scheduler);
    let (mut state, mut index) = (WalkState::default(), KeyIndex::new(&[], None));
    let hash = walk_key_bucket(&reader, root, parallel, &mut state, &mut index, 7)?;
    let hash = state.problems.is_empty().then_some(hash);
    assert!(hash.is_none() || state.reached.count() == high_water_mark - 2, "a sound tree has all pages");
    let (entries, (live, _)) = (index.entries(), index.finish());
    let (problems, last_revision) = (state.problems, live.last_revision());
    Ok(Outcome { hash, problems, entries, live: live.count(), last_revision })
}

#[test]
fn the_sums_do_not_depend_on_threads_and_segments() {
    for leaves in [1, 2, 21, 500] {
        let count = leaves * ENTRIES_PER_LEAF;
        let all: Vec<u8> =
            (1..=count).flat_map(|revision| [key(revision, 0, false), value(revision)].concat()).collect();
        let hash = Some(crc32c::crc32c_append(7, &all));
        let expected = Outcome { hash, problems: Vec::new(), entries: count, live: count, last_revision: count as i64 };
        assert_eq!(Tree::new(leaves).outcome(), expected);
    }
}

/// A worker that is ahead waits when its channel is full.
#[test]
fn a_segment_can_have_more_entries_than_its_channel_holds() {
    let tree = Tree::new(4000);
    let one = tree.walk(&ParallelWalk { min_pages: u64::MAX, segment_leaves: 1 });
    assert_eq!(one.entries, 64_000);
    for segment_leaves in [100, 1300, 2000, 10_000] {
        assert_eq!(tree.walk(&ParallelWalk { min_pages: 0, segment_leaves }), one);
    }
    assert_eq!(tree.walk(&ParallelWalk::default()), one, "production's thresholds, with two threads");
}

#[test]
fn problems_come_in_the_order_of_the_keys_and_enough_of_them_end_the_walk() {
    let mut tree = Tree::new(500);
    let damaged: Vec<u64> = tree.leaves.iter().copied().skip(3).step_by(7).collect();
    damaged[..MAX_PROBLEMS - 1].iter().for_each(|leaf| tree.page(*leaf).fill(0));
    let what = |leaves: &[u64]| -> Vec<String> {
        leaves.iter().map(|leaf| format!("page {leaf} begins with zeros instead of a page header")).collect()
    };
    let texts = |outcome: Outcome| outcome.problems.into_iter().map(|problem| problem.what).collect::<Vec<_>>();
    assert_eq!(texts(tree.outcome()), what(&damaged[..MAX_PROBLEMS - 1]));
    damaged.iter().for_each(|leaf| tree.page(*leaf).fill(0));
    assert_eq!(texts(tree.outcome()), what(&damaged[..MAX_PROBLEMS]));
}

#[test]
fn a_damaged_branch_page_hides_its_leaf_pages_alone() {
    let mut tree = Tree::new(500);
    let parent = tree.parents[7];
    tree.page(parent).fill(0);
    let outcome = tree.outcome();
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert_eq!(outcome.entries, (500 - CHILDREN_PER_BRANCH as u64) * ENTRIES_PER_LEAF);
}

#[test]
fn a_page_in_two_segments_is_reported_once_and_its_entries_count_once() {
    let mut tree = Tree::new(500);
    // The last child of the last branch page becomes the first leaf page.
    let (first, parent) = (tree.leaves[0], tree.parents[24]);
    let at = 16 + (CHILDREN_PER_BRANCH - 1) * 16 + 8;
    tree.page(parent)[at..at + 8].copy_from_slice(&first.to_le_bytes());
    let outcome = tree.outcome();
    let what: Vec<&str> = outcome.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(what, [format!("page {first} belongs to two parts of the database at once")]);
    assert_eq!(outcome.entries, 499 * ENTRIES_PER_LEAF);
}

/// A file on a disk that cannot read one page.
struct BadDisk<'a> {
    file: &'a [u8],
    bad: u64,
}

impl ReadAt for BadDisk<'_> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if (offset..offset + buffer.len() as u64).contains(&(self.bad * PAGE_SIZE as u64)) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.file.read_exact_at(buffer, offset)
    }
}

#[test]
fn a_page_that_cannot_be_read_ends_both_workers() {
    let tree = Tree::new(200);
    for parallel in SETTINGS {
        for bad in 2..(tree.file.len() / PAGE_SIZE) as u64 {
            match walk(&BadDisk { file: &tree.file, bad }, tree.root, &parallel, &|_| true) {
                Err(ReadFailure::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::InvalidData),
                other => panic!("page {bad}, {parallel:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_walk_ends_when_it_is_cancelled() {
    let tree = Tree::new(500);
    for parallel in SETTINGS {
        for reads in [0, 1, 5, 20] {
            let done = AtomicUsize::new(0);
            let progress = |_| done.fetch_add(1, Ordering::Relaxed) < reads;
            let outcome = walk(&tree.file[..], tree.root, &parallel, &progress);
            assert!(matches!(outcome, Err(ReadFailure::Cancelled)), "{parallel:?}, {reads}: {outcome:?}");
        }
    }
}
