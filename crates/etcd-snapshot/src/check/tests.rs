//! Files that cost their author little and a careless reader much, and files that change.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::meta::testing::{correct_checksum, meta_page};
use crate::mvcc::testing::{key, key_value};
use crate::page::testing::{PAGE_SIZE, branch_page, leaf_page};

/// Counts the bytes that are read.
struct Counting<'a> {
    bytes: &'a [u8],
    read: AtomicU64,
}

impl ReadAt for Counting<'_> {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.bytes.read_exact_at(buffer, offset)
    }
}

/// Returns a meta page of a database whose root page is `root` and whose pages are all below `high_water_mark`.
fn meta(id: u64, root: u64, high_water_mark: u64) -> Vec<u8> {
    let mut page = meta_page(id, PAGE_SIZE as u32, 9 - id);
    page[16 + 16..16 + 24].copy_from_slice(&root.to_le_bytes());
    page[16 + 40..16 + 48].copy_from_slice(&high_water_mark.to_le_bytes());
    correct_checksum(&mut page);
    page
}

/// The value of a bucket whose root is page `root`.
fn bucket(root: u64) -> Vec<u8> {
    [root.to_le_bytes(), [0; 8]].concat()
}

/// Returns the root page with all buckets of etcd. Those other than `key` and `meta` are inline and empty.
fn root_page(id: u64, key_root: u64, meta_root: u64) -> Vec<u8> {
    let names =
        ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];
    let empty = [&[0; 16][..], &[0; 8], &2_u16.to_le_bytes(), &[0; 6]].concat();
    let values: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match *name {
            "key" => bucket(key_root),
            "meta" => bucket(meta_root),
            _ => empty.clone(),
        })
        .collect();
    let elements: Vec<(&[u8], &[u8])> =
        names.iter().zip(&values).map(|(name, value)| (name.as_bytes(), &value[..])).collect();
    let mut page = leaf_page(id, &elements);
    (0..names.len()).for_each(|index| page[16 + index * 16] = 1);
    page
}

/// Adds the pages that end a database: the bucket `meta`, the root page, and what the meta pages say.
fn complete(mut pages: Vec<Vec<u8>>, key_root: u64) -> Vec<u8> {
    let meta_root = pages.len() as u64;
    pages.push(leaf_page(meta_root, &[(b"consistent_index", &[1; 8])]));
    pages.push(root_page(meta_root + 1, key_root, meta_root));
    let high_water_mark = pages.len() as u64;
    pages[0] = meta(0, meta_root + 1, high_water_mark);
    pages[1] = meta(1, meta_root + 1, high_water_mark);
    pages.concat()
}

/// A database of `leaves` leaf pages. The value of each one reaches to the end of the file, over all the others.
fn overlapping(leaves: u64) -> Vec<u8> {
    let first = 2;
    let last = first + leaves - 1;
    let mut pages = vec![meta(0, 0, 0), meta(1, 0, 0)];
    let mut level = Vec::new();
    for id in first..=last {
        let room = (last + 1 - id) as usize * PAGE_SIZE - 16 - 16 - 17;
        let head = key_value("a", id, 1, id, room);
        let mut page = leaf_page(id, &[(&key(id, 0, false), &head)]);
        page[12..16].copy_from_slice(&((last - id) as u32).to_le_bytes());
        page[28..32].copy_from_slice(&(room as u32).to_le_bytes());
        pages.push(page);
        level.push((key(id, 0, false), id));
    }
    while level.len() > 1 {
        let branch = |children: &[(Vec<u8>, u64)]| {
            let id = pages.len() as u64;
            pages.push(branch_page(id, &children.iter().map(|(key, id)| (&key[..], *id)).collect::<Vec<_>>()));
            (children[0].0.clone(), id)
        };
        level = level.chunks(20).map(branch).collect();
    }
    complete(pages, level[0].1)
}

#[test]
fn pages_that_overlap_are_not_read_again_and_again() {
    let bytes = overlapping(3000);
    for parallel in [ParallelWalk::default(), ParallelWalk { min_pages: 0, segment_leaves: 8 }] {
        let counting = Counting { bytes: &bytes, read: AtomicU64::new(0) };
        let report = check(&counting, &Options { checksum: false, parallel, ..Options::default() });
        let problems = report.expect("memory can be read").problems;
        let read = counting.read.load(Ordering::Relaxed);
        assert!(read < 3 * bytes.len() as u64, "{read} bytes of {}: {problems:?}", bytes.len());
        assert!(problems[0].what.starts_with("the database refers to more pages than"), "{problems:?}");
    }
}

/// A sparse file: the bytes at its beginning, and zeros.
struct Sparse {
    head: Vec<u8>,
    size: u64,
    read: AtomicU64,
}

impl ReadAt for Sparse {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        buffer.fill(0);
        let head = usize::try_from(offset).ok().and_then(|start| self.head.get(start..)).unwrap_or_default();
        let length = head.len().min(buffer.len());
        buffer[..length].copy_from_slice(&head[..length]);
        Ok(())
    }
}

#[test]
fn a_sparse_file_of_any_size_is_answered_without_reading_or_allocating_it() {
    for size in [u64::MAX, 8 << 60, 16 << 40, (1 << 40) + 1] {
        let high_water_mark = size / PAGE_SIZE as u64;
        let head =
            [meta(0, high_water_mark - 1, high_water_mark), meta(1, high_water_mark - 1, high_water_mark)].concat();
        let sparse = Sparse { head, size, read: AtomicU64::new(0) };
        let report = check(&sparse, &Options::default()).expect("it can be read");
        assert!(report.problems[0].what.contains("no etcd can have"), "{:?}", report.problems);
        assert!(sparse.read.load(Ordering::Relaxed) < 4096);
    }
    // A small file that claims to be large.
    let head = [meta(0, 3, 1 << 50), meta(1, 3, 1 << 50)].concat();
    let report = check(&head[..], &Options::default()).expect("it can be read");
    assert!(report.problems[0].what.contains("no etcd can have"), "{:?}", report.problems);
}

/// One page with a number of almost a billion must not cost a bit for each page before it.
#[test]
fn a_far_page_takes_no_memory_for_the_pages_before_it() {
    let mut state = crate::cursor::WalkState::default();
    assert_eq!(state.reach((1 << 30) - 1, 1, PAGE_SIZE as u64), Ok(()));
    assert!(state.reached.memory() < 1 << 20, "{} bytes", state.reached.memory());
}

/// A file that `write` changes after so many reads.
struct Changing<'a> {
    bytes: Mutex<Vec<u8>>,
    reads: AtomicU64,
    after: u64,
    write: Write<'a>,
}

type Write<'a> = &'a (dyn Fn(&mut Vec<u8>) + Sync);

impl ReadAt for Changing<'_> {
    fn size(&self) -> io::Result<u64> {
        self.bytes.lock().expect("no thread panics").as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes.lock().expect("no thread panics");
        if self.reads.fetch_add(1, Ordering::Relaxed) == self.after {
            (self.write)(&mut bytes);
        }
        bytes.as_slice().read_exact_at(buffer, offset)
    }
}

/// What a member does while it is running: it writes new pages and a meta page, and then overwrites the old pages.
#[test]
fn a_database_that_a_member_writes_to_is_changed_and_not_damaged() {
    let leaf = leaf_page(2, &[(&key(2, 0, false), &key_value("a", 2, 1, 2, 0))]);
    let bytes = complete(vec![Vec::new(), Vec::new(), leaf], 2);
    assert!(check(&bytes[..], &Options::default()).expect("memory can be read").is_sound());
    let commit = |bytes: &mut Vec<u8>| {
        bytes[16 + 48] += 1;
        correct_checksum(&mut bytes[..PAGE_SIZE]);
    };
    let reuse = |bytes: &mut Vec<u8>| {
        commit(bytes);
        bytes[2 * PAGE_SIZE..3 * PAGE_SIZE].fill(0);
    };
    let grow = |bytes: &mut Vec<u8>| bytes.resize(bytes.len() + PAGE_SIZE, 0);
    let writes: [Write<'_>; 3] = [&commit, &reuse, &grow];
    // The first two reads are those of the meta pages, and the last two as well.
    for (after, write) in (2..6).flat_map(|after| writes.map(|write| (after, write))) {
        let (bytes, reads) = (Mutex::new(bytes.clone()), AtomicU64::new(0));
        let file = Changing { bytes, reads, after, write };
        let outcome = check(&file, &Options { checksum: false, ..Options::default() });
        assert!(matches!(outcome, Err(ReadFailure::Changed)), "after {after} reads: {outcome:?}");
    }
}
