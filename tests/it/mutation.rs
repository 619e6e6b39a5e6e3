//! Good files, changed in thousands of ways. None of them may be called good. With a corrected trailer, so that only the
//! structure can tell, nothing may panic or hang, and the structure must detect what it can.

use etcd_snapshot::{HashPoint, Options, ParallelWalk, Report};

use crate::support::files::{mend, seed, snapshot};

const PAGE: usize = 4096;

fn check(bytes: &[u8]) -> Report {
    let report = etcd_snapshot::check(bytes, &Options::default()).expect("memory can be read");
    // What one thread finds in a small file, two find in the same order.
    let parallel = ParallelWalk { min_pages: 4, segment_leaves: 8 };
    let by_two = etcd_snapshot::check(bytes, &Options { parallel, ..Options::default() }).expect("memory can be read");
    assert_eq!(by_two.problems, report.problems);
    // A sound file has hashes, whatever is in it.
    if let Some(contents) = &report.contents {
        let point = HashPoint { revision: contents.revision, compact_revision: contents.compact_revision() };
        etcd_snapshot::hash_kv(bytes, contents, &[point], &|_| true).expect("memory can be read");
    }
    report
}

/// How many changed files there were, and how many of them the structure alone detects.
#[derive(Debug, Default)]
struct Tally {
    changed: usize,
    seen: usize,
}

impl Tally {
    /// Checks that the changed file is bad. Counts it with a corrected trailer. Returns `true` if it is bad then, too.
    fn take(&mut self, good: &[u8], mut bad: Vec<u8>, what: &str) -> bool {
        if bad == good {
            return true;
        }
        let report = check(&bad);
        assert!(!report.is_good(), "{what}: called good");
        assert!(!report.problems.is_empty(), "{what}: bad without a reason");
        if bad.len() < 64 {
            return true;
        }
        mend(&mut bad);
        let seen = !check(&bad).is_good();
        self.changed += 1;
        self.seen += usize::from(seen);
        seen
    }
}

fn pages(bytes: &[u8]) -> usize {
    bytes.len() / PAGE
}

/// Reads a little-endian number of that many bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Returns the pages in use that begin with a page header. The others are free or overflow pages. It does not use the
/// reader under test, which could skip a page (bbolt `internal/common/page.go`).
fn used(bytes: &[u8]) -> Vec<usize> {
    let (root, free_list) = (number(bytes, 32, 8), number(bytes, 48, 8));
    let (mut used, mut wanted) = (vec![0, 1], vec![root]);
    // etcd on Linux does not write one.
    used.extend(Some(free_list).filter(|page| *page != usize::MAX));
    while let Some(page) = wanted.pop() {
        used.push(page);
        let base = page * PAGE;
        let (kind, count) = (number(bytes, base + 8, 2), number(bytes, base + 10, 2));
        for element in (0..count).map(|index| base + 16 + index * 16) {
            if kind == 1 {
                wanted.push(number(bytes, element + 8, 8));
            } else if number(bytes, element, 4) == 1 {
                let bucket = element + number(bytes, element + 4, 4) + number(bytes, element + 8, 4);
                wanted.extend(Some(number(bytes, bucket, 8)).filter(|page| *page != 0));
            }
        }
    }
    used
}

#[test]
fn no_flipped_bit_is_called_good() {
    let good = snapshot();
    assert!(check(good).is_good());
    let mut random = fastrand::Rng::with_seed(11);
    let mut tally = Tally::default();
    for _ in 0..2500 {
        let (at, bit) = (random.usize(..good.len()), random.u8(..8));
        let mut bad = good.to_vec();
        bad[at] ^= 1 << bit;
        tally.take(good, bad, &format!("bit {bit} at {at}"));
    }
    eprintln!("flips: the structure alone sees {} of {}", tally.seen, tally.changed);
    // Most bits belong to values and free pages. Of the others, see the tests of headers and elements.
    assert!(tally.seen >= 105, "{tally:?}");
}

#[test]
fn no_flipped_bit_in_a_header_of_a_page_goes_unseen_by_the_structure() {
    let good = snapshot();
    let mut tally = Tally::default();
    let mut unseen = Vec::new();
    for page in used(good) {
        for at in 0..16 {
            let mut bad = good.to_vec();
            bad[page * PAGE + at] ^= 1 << (at % 8);
            if !tally.take(good, bad, &format!("byte {at} of page {page}")) {
                unseen.push((page, at));
            }
        }
    }
    // bbolt reads neither the count nor the overflow of a meta page.
    unseen.retain(|(page, at)| *page > 1 || *at < 10);
    assert!(tally.changed > 100 && unseen.is_empty(), "{unseen:?}");
}

#[test]
fn flipped_bits_in_the_headers_of_elements_are_seen_by_the_structure() {
    let good = snapshot();
    let mut tally = Tally::default();
    let trees = used(good).into_iter().filter(|page| *page > 1 && number(good, page * PAGE + 8, 2) <= 2);
    let bytes = trees.flat_map(|page| {
        let count = number(good, page * PAGE + 10, 2);
        (0..count * 16).map(move |at| page * PAGE + 16 + at)
    });
    for at in bytes {
        let mut bad = good.to_vec();
        bad[at] ^= 1 << (at % 8);
        tally.take(good, bad, &format!("byte {at}"));
    }
    eprintln!("elements: the structure alone sees {} of {}", tally.seen, tally.changed);
    assert!(tally.changed > 800 && tally.seen * 100 >= tally.changed * 99, "{tally:?}");
}

#[test]
fn no_cut_is_called_good() {
    let good = snapshot();
    let mut tally = Tally::default();
    let mut random = fastrand::Rng::with_seed(12);
    let boundaries = (0..=pages(good)).flat_map(|page| {
        let at = page * PAGE;
        [at.saturating_sub(1), at, at + 1, at + 31, at + 32, at + 33, at + 512 + 32]
    });
    let cuts: Vec<usize> = boundaries.chain((0..1000).map(|_| random.usize(..good.len()))).collect();
    for at in cuts.into_iter().filter(|at| *at < good.len()) {
        let seen = tally.take(good, good[..at].to_vec(), &format!("cut at {at}"));
        assert!(seen, "cut at {at} with a trailer of its own");
    }
    assert_eq!(tally.seen, tally.changed);
}

#[test]
fn no_change_of_a_page_is_called_good() {
    let good = snapshot();
    let used = used(good);
    let mut tally = Tally::default();
    for page in 0..pages(good) {
        let range = page * PAGE..(page + 1) * PAGE;
        let is_used = used.contains(&page);
        let mut zeroed = good.to_vec();
        zeroed[range.clone()].fill(0);
        let seen = tally.take(good, zeroed, &format!("page {page} zeroed"));
        assert!(seen || !is_used, "page {page} zeroed");

        let mut removed = good.to_vec();
        removed.drain(range.clone());
        assert!(tally.take(good, removed, &format!("page {page} removed")), "page {page} removed");

        for other in (0..pages(good)).filter(|other| *other != page) {
            let source = other * PAGE..(other + 1) * PAGE;
            let mut copied = good.to_vec();
            copied.copy_within(source.clone(), range.start);
            let seen = tally.take(good, copied, &format!("page {other} over page {page}"));
            assert!(seen || !is_used || good[source] == good[range.clone()], "page {other} over page {page}");
        }
    }
    eprintln!("pages: the structure alone sees {} of {}", tally.seen, tally.changed);
}

#[test]
fn no_appended_bytes_are_called_good() {
    let good = snapshot();
    let mut tally = Tally::default();
    for length in [1, 31, 32, 33, 480, 512, 512 + 32, PAGE - 32, PAGE, PAGE + 1, 3 * PAGE + 32] {
        for byte in [0, 0xa5] {
            let mut longer = good.to_vec();
            longer.resize(good.len() + length, byte);
            assert!(tally.take(good, longer, &format!("{length} bytes of {byte:#x} appended")));
        }
        let mut twice = good.to_vec();
        twice.extend_from_slice(&good[..length]);
        assert!(tally.take(good, twice, &format!("{length} bytes of itself appended")));
    }
}

/// With small pages, the structure is a large part of the file.
#[test]
fn changed_bytes_of_small_databases_with_and_without_a_free_list() {
    let mut tally = Tally::default();
    for name in ["empty.db", "inline.db", "leaf-free.db", "branch.db", "branch-free.db"] {
        let good = seed(name);
        assert!(check(&good).is_good(), "{name}: {:?}", check(&good).problems);
        for at in (0..good.len()).step_by(if good.len() > 15_000 { 7 } else { 3 }) {
            let mut bad = good.clone();
            bad[at] = bad[at].wrapping_add(1 + (at % 255) as u8);
            tally.take(&good, bad, &format!("{name}: byte {at}"));
        }
    }
    eprintln!("small pages: the structure alone sees {} of {}", tally.seen, tally.changed);
    // 12.55 %: these files always have the same bytes.
    assert!(tally.seen * 1000 >= tally.changed * 125, "{tally:?}");
}
