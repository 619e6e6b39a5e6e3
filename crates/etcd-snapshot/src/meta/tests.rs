use super::testing::{correct_checksum, meta_page};
use super::*;

fn lookup(file: &[u8]) -> MetaLookup {
    read_meta_pages(file, file.len() as u64).expect("memory can be read")
}

fn found(file: &[u8]) -> MetaPages {
    match lookup(file) {
        MetaLookup::Found(pages) => pages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_later_transaction_wins_and_its_fields_are_read() {
    let pages = found(&[meta_page(0, 4096, 8), meta_page(1, 4096, 9)].concat());
    assert_eq!(pages.problem, None);
    let Meta { page_size, root, freelist, high_water_mark, txid, .. } = pages.meta;
    assert_eq!((page_size, root, freelist, high_water_mark, txid), (4096, 3, None, 5, 9));
    assert_eq!(pages.meta.total_size(), 5 * 4096);
    assert_eq!(found(&[meta_page(0, 4096, 10), meta_page(1, 4096, 9)].concat()).meta.txid, 10);
}

#[test]
fn the_transactions_tell_a_snapshot_from_a_member_database() {
    for (first, second, writer) in [
        (9, 8, Writer::Snapshot),
        (8, 9, Writer::Member),
        (10, 7, Writer::Member),
        (10, 9, Writer::SnapshotOrMember),
        (9, 9, Writer::Member),
    ] {
        assert_eq!(
            found(&[meta_page(0, 4096, first), meta_page(1, 4096, second)].concat()).writer,
            writer,
            "{first} {second}"
        );
    }
    // One transaction later, but with another root.
    let mut changed = meta_page(1, 4096, 8);
    changed[PAGE_HEADER_SIZE + 16] = 4;
    correct_checksum(&mut changed);
    assert_eq!(found(&[meta_page(0, 4096, 9), changed].concat()).writer, Writer::Member);
}

#[test]
fn one_readable_meta_page_is_enough_at_every_page_size() {
    for page_size in [1024, 4096, 16384, 65536] {
        let good = [meta_page(0, page_size, 9), meta_page(1, page_size, 8)].concat();
        for (damaged, txid) in [(0, 8), (1, 9)] {
            let mut file = good.clone();
            file[damaged * page_size as usize + 30] ^= 1;
            let pages = found(&file);
            assert_eq!((pages.meta.txid, pages.writer), (txid, Writer::Unknown), "{page_size}");
            let problem = pages.problem.expect("one is damaged");
            let what = format!("meta page {damaged} has a wrong checksum, meta page {} is readable", 1 - damaged);
            assert_eq!((problem.what, problem.offset), (what, Some(damaged as u64 * u64::from(page_size))));
        }
    }
}

#[test]
fn each_damage_has_its_reason() {
    let reason = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = meta_page(0, 4096, 9);
        change(&mut bytes);
        Meta::parse(&bytes).expect_err("it is damaged")
    };
    assert_eq!(reason(&|bytes| bytes.fill(0)), "is all zeros");
    assert_eq!(reason(&|bytes| bytes[PAGE_HEADER_SIZE] = 0), "is overwritten");
    assert_eq!(reason(&|bytes| bytes.truncate(META_SIZE - 9)), "is cut off");
    assert_eq!(reason(&|bytes| bytes.truncate(META_SIZE - 1)), "has a wrong checksum");
    assert_eq!(reason(&|bytes| bytes[PAGE_HEADER_SIZE + 48] ^= 1), "has a wrong checksum");
    let version = |bytes: &mut Vec<u8>| {
        bytes[PAGE_HEADER_SIZE + 4] = 3;
        correct_checksum(bytes);
    };
    assert_eq!(reason(&version), "has an unknown version");
    for size in [0_u32, 512, 5000, 1 << 17] {
        let page_size = |bytes: &mut Vec<u8>| {
            bytes[PAGE_HEADER_SIZE + 8..PAGE_HEADER_SIZE + 12].copy_from_slice(&size.to_le_bytes());
            correct_checksum(bytes);
        };
        assert_eq!(reason(&page_size), "has an impossible page size", "{size}");
    }
}

#[test]
fn two_page_sizes_are_a_problem() {
    let mut second = meta_page(1, 8192, 8);
    second.truncate(4096);
    let problem = found(&[meta_page(0, 4096, 9), second].concat()).problem.expect("they contradict each other");
    assert_eq!(problem.what, "meta page 1 has another page size, meta page 0 is readable");
}

#[test]
fn a_wrong_page_header_is_a_problem_but_the_meta_page_is_used() {
    let good = [meta_page(0, 4096, 9), meta_page(1, 4096, 8)].concat();
    for (at, id) in [(0, 0), (8, 0), (4096, 1), (4096 + 8, 1)] {
        let mut file = good.clone();
        file[at] ^= 2;
        let pages = found(&file);
        assert_eq!((pages.meta.txid, pages.writer), (9, Writer::Snapshot));
        assert_eq!(
            pages.problem.map(|problem| problem.what),
            Some(format!("the page header of meta page {id} is wrong"))
        );
    }
}

#[test]
fn a_file_without_a_meta_page_is_corrupt_only_if_it_has_the_magic_number() {
    assert!(matches!(lookup(b""), MetaLookup::NotBbolt));
    assert!(matches!(lookup(&[7; 20_000]), MetaLookup::NotBbolt));
    for kept in [0, 1] {
        let mut file = [meta_page(0, 4096, 9), meta_page(1, 4096, 8)].concat();
        // The checksum of one meta page, and all of the other one.
        file[kept * 4096 + 70] ^= 1;
        file[(1 - kept) * 4096..][..META_SIZE].fill(1);
        let MetaLookup::Corrupt(problem) = lookup(&file) else { panic!("it was a bbolt file") };
        assert!(problem.what.starts_with("no meta page is readable: meta page 0 "), "{problem:?}");
    }
    assert!(matches!(lookup(&meta_page(0, 4096, 9)[..60]), MetaLookup::Corrupt(_)), "cut within the first meta page");
}
