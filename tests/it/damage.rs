//! `verify` through the binary: one sentence, with the place and a hint, for each kind of bad file.

use super::verify::{Outcome, is_good, verify, with};
use crate::support::files::{bolt, mend, snapshot};

const PAGE: usize = 4096;

/// The file is bad, exit 4; the first sentence has `text`, and there is a hint.
fn is_bad(name: &str, bytes: &[u8], text: &str) -> Outcome {
    let outcome = verify(with(name, bytes).path(), &[name]);
    assert_eq!(outcome.code, Some(4), "{text}\n{}", outcome.stderr);
    let mut lines = outcome.stderr.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(&format!("error: {name}: ")) && first.contains(text), "{text:?} is not in\n{first}");
    assert!(lines.next().is_some_and(|line| line.starts_with("hint: ")), "no hint in\n{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panic"), "{}", outcome.stderr);
    outcome
}

#[test]
fn files_that_are_something_else_are_called_by_their_name() {
    is_bad("snap.db", b"", "the file is empty");
    is_bad("snap.db", &[0xed; 700], "too short to be a snapshot: 700 bytes");
    is_bad("snap.db", &[0; 9000], "begins with zeros");
    is_bad("snap.db", b"Error from server (Forbidden): pods is forbidden\n", "this is text");
    is_bad("snap.db", b"\n<!DOCTYPE html><html><body>502</body></html>", "this is an HTML page");
    is_bad("snap.db", br#"{"kind":"Status","code":403}"#, "this is JSON");
    for (mark, name) in [
        (&b"\x1f\x8b\x08\0"[..], "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"age-encryption.org/v1\n-> X25519", "age"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x04\x22\x4d\x18\x64\x40", "lz4"),
        (b"Salted__\x9a\x11", "'openssl enc'"),
    ] {
        let mut bytes = mark.to_vec();
        bytes.extend((0..5000_u32).map(|n| ((n * 7919) >> 3) as u8));
        is_bad("snap.db", &bytes, &format!("this is a {name} file"));
    }
    // Those are text as a whole, and called by their name all the same.
    for (first, name) in [("AGE ENCRYPTED FILE", "age"), ("PGP MESSAGE", "OpenPGP")] {
        let armoured =
            format!("-----BEGIN {first}-----\n\n{}-----END {first}-----\n", "YWdlLWVuY3J5cHRpb24=\n".repeat(200));
        let outcome = is_bad("snap.db", armoured.as_bytes(), &format!("this is a {name} file"));
        assert!(outcome.stderr.contains("hint: decrypt it with '"), "{}", outcome.stderr);
    }
    let mut tar = vec![0; 10240];
    tar[..7].copy_from_slice(b"snap.db");
    tar[257..262].copy_from_slice(b"ustar");
    is_bad("snap.db", &tar, "this is a tar archive");
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    is_bad("snap.db", &noise, "it has no bbolt meta page");
    is_bad("foreign.db", &std::fs::read(bolt("foreign.db")).unwrap(), "not etcd's");
    for name in ["index-none.db", "index-zero.db"] {
        is_bad(
            name,
            &std::fs::read(bolt(name)).unwrap(),
            "there are keys, but the bucket \"meta\" has no consistent index",
        );
    }
    is_bad("nested.db", &std::fs::read(bolt("nested.db")).unwrap(), "has a bucket among its entries");
}

#[test]
fn a_cut_is_told_with_its_place() {
    let good = snapshot();
    let total = good.len() - 32;
    for at in [2048, PAGE + 100, 5 * PAGE, total - 1] {
        let outcome = is_bad("snap.db", &good[..at], &format!("it ends after {at} of {total} bytes (at byte {at})"));
        assert!(outcome.stderr.contains("take the snapshot again"), "{}", outcome.stderr);
    }
    is_bad("snap.db", &good[..total], "has lost the sha-256 at its end");
    is_bad("snap.db", &good[..total + 7], "25 of the 32 bytes of sha-256 at its end are missing");
    let outcome = is_bad("snap.db.part", &good[..3 * PAGE], "the file is cut");
    assert!(outcome.stderr.contains("etcdctl names a file .part until it is complete"), "{}", outcome.stderr);
}

/// A database that is a good snapshot's but for the transactions of its two meta pages and what is behind it.
fn database(transactions: [u64; 2], behind: &[u8]) -> Vec<u8> {
    let mut bytes = snapshot()[..snapshot().len() - 32].to_vec();
    for (page, transaction) in transactions.iter().enumerate() {
        let meta = &mut bytes[page * PAGE + 16..][..64];
        meta[48..56].copy_from_slice(&transaction.to_le_bytes());
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = meta[..56].iter().fold(0xcbf2_9ce4_8422_2325, fold);
        meta[56..].copy_from_slice(&sum.to_le_bytes());
    }
    bytes.extend_from_slice(behind);
    bytes
}

#[test]
fn a_members_own_database_whose_meta_pages_are_alike_is_told_from_a_snapshot_as_far_as_possible() {
    // bbolt writes transaction N to page N modulo 2, and a snapshot has the later one first.
    let room = vec![0; 2 * PAGE];
    for (transactions, behind) in
        [([1000, 1001], &[][..]), ([1002, 999], &[]), ([1000, 1001], &room), ([1002, 1001], &room)]
    {
        let directory = with("db", &database(transactions, behind));
        let document = is_good(directory.path(), "db");
        assert_eq!(document["format"], "member database", "{transactions:?} and {} bytes", behind.len());
    }
    let either = "has lost the sha-256 at its end, or this is a member's own database that was closed without a change";
    let outcome = is_bad("db", &database([1002, 1001], &[]), either);
    assert!(outcome.stderr.contains("prefer a snapshot of the running member"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("failed     verified"), "{}", outcome.stdout);
    is_bad("db", &database([1001, 1000], &[]), "has lost the sha-256 at its end (");
    let follow = "bytes that do not belong to it follow the snapshot";
    is_bad("db", &database([1001, 1000], &room), follow);
    // The trailer is where a snapshot has it: the file is one, though it has whole pages.
    let mut padded = database([1002, 1001], &[0; 32]);
    mend(&mut padded);
    is_good(with("db", &padded).path(), "db");
    padded.resize(padded.len() + PAGE - 32, 0);
    is_bad("db", &padded, follow);
}

#[test]
fn a_changed_value_and_a_changed_trailer_are_one_diagnosis() {
    let mut bad = snapshot().to_vec();
    let last = bad.len() - 1;
    bad[last] ^= 0x40;
    let text = "the sha-256 at the end does not match, though the structure is sound: the trailer or some value";
    let outcome = is_bad("snap.db", &bad, text);
    assert_eq!(outcome.stderr.lines().count(), 2, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("failed     verified"), "{}", outcome.stdout);
}

#[test]
fn something_appended_is_told_from_the_snapshot_before_it() {
    for tail in [&b"\n"[..], &[0; 4096], b"HTTP/1.1 200 OK\r\n"] {
        let mut bad = snapshot().to_vec();
        bad.extend_from_slice(tail);
        is_bad("snap.db", &bad, &format!("{} bytes that do not belong to it follow the snapshot", tail.len()));
    }
}

/// Where the page with the bucket `key`'s first entries is: the first leaf whose first key is a revision.
fn leaf(bytes: &[u8]) -> usize {
    let is_leaf = |page: &usize| {
        let page = &bytes[page * PAGE..][..PAGE];
        let pos = u32::from_le_bytes(page[20..24].try_into().unwrap()) as usize;
        page[8] == 2 && page.get(16 + pos + 8) == Some(&b'_')
    };
    (2..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] as usize == *page).find(is_leaf).expect("there is one")
}

#[test]
fn damaged_pages_are_told_with_page_and_place() {
    let good = snapshot();
    let page = leaf(good);
    let at = page * PAGE;
    let damaged = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        mend(&mut bytes);
        bytes
    };
    let zeroed = damaged(&|bytes| bytes[at..at + PAGE].fill(0));
    is_bad("snap.db", &zeroed, &format!("page {page} begins with zeros instead of a page header (at byte {at})"));
    let other = page + 1;
    let swapped = damaged(&|bytes| bytes.copy_within((page + 1) * PAGE..(page + 2) * PAGE, at));
    let text = format!("the page at the place of page {page} says that it is page {other} (at byte {at})");
    is_bad("snap.db", &swapped, &text);
    let longer = damaged(&|bytes| bytes[at + 16 + 13] ^= 0x40);
    is_bad("snap.db", &longer, &format!("element 0 of page {page} reaches beyond the page"));
    let key = |index: usize| {
        let header = at + 16 + index * 16;
        header + u32::from_le_bytes(good[header + 4..header + 8].try_into().unwrap()) as usize
    };
    let first = key(0);
    // The second entry becomes older than the first.
    let unordered = damaged(&|bytes| bytes[key(1)..key(1) + 8].fill(0));
    is_bad("snap.db", &unordered, &format!("the keys of page {page} are not in order"));
    let no_revision = damaged(&|bytes| bytes[first + 8] = b'`');
    is_bad("snap.db", &no_revision, "has a key that is no revision");
}

#[test]
fn damaged_meta_pages_are_told_apart() {
    let good = snapshot();
    let damaged = |places: &[usize]| {
        let mut bytes = good.to_vec();
        places.iter().for_each(|at| bytes[*at] ^= 0x10);
        mend(&mut bytes);
        bytes
    };
    let first = "meta page 0 has a wrong checksum, meta page 1 is readable (at byte 0)";
    let row = is_bad("snap.db", &damaged(&[70]), first).stdout;
    // Neither the table nor a script's document calls that sound.
    assert!(row.lines().nth(1).is_some_and(|row| row.contains("verified   failed")), "{row}");
    let second = "meta page 1 has a wrong checksum, meta page 0 is readable (at byte 4096)";
    is_bad("snap.db", &damaged(&[PAGE + 50]), second);
    is_bad("snap.db", &damaged(&[70, PAGE + 50]), "no meta page is readable");
}

#[test]
fn a_free_list_that_contradicts_the_pages_is_seen() {
    let good = std::fs::read(bolt("pages-4096.db")).unwrap();
    is_good(bolt("").as_path(), "pages-4096.db");
    let list = u64::from_le_bytes(good[16 + 32..16 + 40].try_into().unwrap()) as usize * PAGE;
    assert_eq!(good[list + 8], 0x10, "the file has a free list");
    let count = u16::from_le_bytes([good[list + 10], good[list + 11]]);
    let root = u64::from_le_bytes(good[16 + 16..16 + 24].try_into().unwrap());
    for (page, text) in [
        (root, format!("page {root} is in use and in the free list")),
        (1, "the free list names page 1, which is no page or there already".to_owned()),
        (u64::MAX / 2, format!("the free list names page {}, which is no page or there already", u64::MAX / 2)),
    ] {
        // One more than there are: what was in the list stays in it.
        let mut longer = good.clone();
        let behind = list + 16 + usize::from(count) * 8;
        longer[list + 10..list + 12].copy_from_slice(&(count + 1).to_le_bytes());
        longer[behind..behind + 8].copy_from_slice(&page.to_le_bytes());
        mend(&mut longer);
        is_bad("f.db", &longer, &text);
    }
    let mut shorter = good.clone();
    shorter[list + 10..list + 12].copy_from_slice(&(count - 1).to_le_bytes());
    mend(&mut shorter);
    is_bad("f.db", &shorter, "is neither in use nor in the free list");
}
