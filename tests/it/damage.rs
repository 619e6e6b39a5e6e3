//! `verify` through the binary: each kind of bad file has its message, with an offset and a hint.

use super::verify::{Outcome, is_good, verify, with};
use crate::support::files::{bolt, mend, snapshot};

const PAGE: usize = 4096;

/// Checks that the file is bad: exit 4, the first line has `text`, and there is a hint.
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
fn files_of_other_formats_are_named() {
    is_bad("snap.db", b"", "the file is empty");
    is_bad("snap.db", &[0xed; 700], "too short to be a snapshot: 700 bytes");
    is_bad("snap.db", &[0; 9000], "begins with zeros instead of a meta page");
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
        (b"\x78\x9c", "zlib"),
        (br#"[{"etcdEvent":{"type":0},"time":"2024-01-01T00:00:00Z"}]"#, "Gardener delta snapshot"),
    ] {
        let mut bytes = mark.to_vec();
        bytes.extend((0..5000_u32).map(|n| ((n * 7919) >> 3) as u8));
        is_bad("snap.db", &bytes, &format!("this is a {name} file"));
    }
    // These are text, but their first line tells more.
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
    is_bad("snap.db", &noise, "it does not have a bbolt meta page");
    is_bad("foreign.db", &std::fs::read(bolt("foreign.db")).unwrap(), "not etcd's");
    for name in ["index-none.db", "index-zero.db"] {
        is_bad(
            name,
            &std::fs::read(bolt(name)).unwrap(),
            "there are keys, but the bucket \"meta\" does not have a consistent index",
        );
    }
    is_bad("nested.db", &std::fs::read(bolt("nested.db")).unwrap(), "has a bucket among its entries");
}

#[test]
fn a_cut_file_is_reported_with_its_offset() {
    let good = snapshot();
    let total = good.len() - 32;
    for at in [2048, PAGE + 100, 5 * PAGE, total - 1] {
        let outcome = is_bad("snap.db", &good[..at], &format!("it ends after {at} of {total} bytes (at byte {at})"));
        assert!(outcome.stderr.contains("take the snapshot again"), "{}", outcome.stderr);
    }
    is_bad("snap.db", &good[..total], "the snapshot is missing the sha-256 at its end (at byte");
    let outcome = is_bad("0000000000000007.snap.db", &good[..total], "is missing the sha-256 at its end");
    assert!(outcome.stderr.contains("that a member received from its leader never has one"), "{}", outcome.stderr);
    is_bad("snap.db", &good[..total + 7], "the file is cut off: 25 of the 32 bytes of its sha-256 are missing");
    let outcome = is_bad("snap.db.part", &good[..3 * PAGE], "the file is cut off: it ends after ");
    assert!(outcome.stderr.contains("etcdctl names a file .part until it is complete"), "{}", outcome.stderr);
}

/// The database of a good snapshot, with other transactions in its meta pages and other bytes behind it.
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

/// What a lost write leaves: each page is sound, and entries are missing.
#[test]
fn a_history_with_missing_entries_is_reported() {
    let hole = "revision 30 is missing from the history: the next entry is at revision 31";
    is_bad("hole.db", &std::fs::read(bolt("hole.db")).unwrap(), hole);
    let chain = "the entry at revision 62/0 does not continue the version and create revision of its key";
    is_bad("chain.db", &std::fs::read(bolt("chain.db")).unwrap(), chain);
}

/// etcd panics when it starts with these, or expires no key, or continues at another revision.
#[test]
fn entries_that_etcd_cannot_start_with_are_reported() {
    for (name, bucket, key) in [
        ("cluster-version.db", "cluster", "clusterVersion"),
        ("downgrade.db", "cluster", "downgrade"),
        ("member.db", "members", "8e9e05c52164694d"),
        ("member-id.db", "members", "8e9e05c52164694d"),
        ("conf-state.db", "meta", "confState"),
        ("user.db", "authUsers", "root"),
        ("user-name.db", "authUsers", "root"),
        ("role.db", "authRoles", "r"),
        ("role-name.db", "authRoles", "r"),
        ("alarm.db", "alarm", "\\n\\x01a"),
        ("auth-revision.db", "auth", "authRevision"),
        ("lease-id.db", "lease", "\\x00\\x00\\x00\\x00\\x00\\x00\\x00M"),
    ] {
        let text = format!("the bucket \"{bucket}\" has an entry \"{key}\" that etcd does not write like this");
        is_bad(name, &std::fs::read(bolt(name)).unwrap(), &text);
    }
    let far = "the bucket \"meta\" has a compaction at revision 4611686018427387907, but the newest revision is 16";
    is_bad("compaction.db", &std::fs::read(bolt("compaction.db")).unwrap(), far);
    let lease = "a key has the lease 000000000000004d, which the bucket \"lease\" lacks";
    is_bad("lease-lost.db", &std::fs::read(bolt("lease-lost.db")).unwrap(), lease);
}

#[test]
fn a_lost_bucket_is_named() {
    for bucket in ["alarm", "auth", "authRoles", "authUsers", "cluster", "lease", "members", "members_removed"] {
        let name = format!("without-{bucket}.db");
        is_bad(&name, &std::fs::read(bolt(&name)).unwrap(), &format!("the bucket \"{bucket}\" is missing"));
    }
}

/// As large as the file system allows: 16 TiB on ext4, 8 EiB on tmpfs and XFS. It takes no space on the disk.
#[test]
fn a_sparse_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse.db");
    std::fs::write(&path, snapshot()).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let size = [(1 << 63) - PAGE as u64, (16 << 40) - PAGE as u64].into_iter().find(|size| file.set_len(*size).is_ok());
    // Not every file system has sparse files.
    let Some(size) = size else { return };
    let outcome = verify(directory.path(), &["sparse.db"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    let first = format!("error: sparse.db: this is not an etcd database: no etcd can have {size} bytes\n");
    assert!(outcome.stderr.starts_with(&first), "{}", outcome.stderr);
}

#[test]
fn a_member_database_with_equal_meta_pages_is_told_from_a_snapshot() {
    // bbolt writes transaction N to page N modulo 2, and a snapshot has the later one first.
    let room = vec![0; 2 * PAGE];
    for (transactions, behind) in
        [([1000, 1001], &[][..]), ([1002, 999], &[]), ([1000, 1001], &room), ([1002, 1001], &room)]
    {
        let directory = with("db", &database(transactions, behind));
        let document = is_good(directory.path(), "db");
        assert_eq!(document["format"], "member database", "{transactions:?} and {} bytes", behind.len());
    }
    let either = "the snapshot is missing the sha-256 at its end, or this is a member's own database that was closed without a change";
    let outcome = is_bad("db", &database([1002, 1001], &[]), either);
    assert!(outcome.stderr.contains("prefer a snapshot of the running member"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("failed     verified"), "{}", outcome.stdout);
    is_bad("db", &database([1001, 1000], &[]), "the snapshot is missing the sha-256 at its end (");
    let follow = "bytes that do not belong to the snapshot follow it";
    is_bad("db", &database([1001, 1000], &room), follow);
    // The sha-256 is where a snapshot has it, so the file is one.
    let mut padded = database([1002, 1001], &[0; 32]);
    mend(&mut padded);
    is_good(with("db", &padded).path(), "db");
    padded.resize(padded.len() + PAGE - 32, 0);
    is_bad("db", &padded, follow);
}

#[test]
fn a_changed_value_and_a_changed_trailer_give_one_message() {
    let mut bad = snapshot().to_vec();
    let last = bad.len() - 1;
    bad[last] ^= 0x40;
    let text =
        "the sha-256 at the end does not match, though the structure is sound: the sha-256 or a value was changed";
    let outcome = is_bad("snap.db", &bad, text);
    assert_eq!(outcome.stderr.lines().count(), 2, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("failed     verified"), "{}", outcome.stdout);
}

#[test]
fn appended_bytes_are_counted() {
    for tail in [&b"\n"[..], &[0; 4096], b"HTTP/1.1 200 OK\r\n"] {
        let mut bad = snapshot().to_vec();
        bad.extend_from_slice(tail);
        is_bad("snap.db", &bad, &format!("{} bytes that do not belong to the snapshot follow it", tail.len()));
    }
}

/// Returns the page with the first entries of the bucket `key`: the first leaf page whose first key is a revision.
fn leaf(bytes: &[u8]) -> usize {
    let is_leaf = |page: &usize| {
        let page = &bytes[page * PAGE..][..PAGE];
        let pos = u32::from_le_bytes(page[20..24].try_into().unwrap()) as usize;
        page[8] == 2 && page.get(16 + pos + 8) == Some(&b'_')
    };
    (2..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] as usize == *page).find(is_leaf).expect("there is one")
}

#[test]
fn damaged_pages_are_reported_with_page_and_offset() {
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
    let text = format!("page {page} has the header of page {other} (at byte {at})");
    is_bad("snap.db", &swapped, &text);
    let longer = damaged(&|bytes| bytes[at + 16 + 13] ^= 0x40);
    is_bad("snap.db", &longer, &format!("element 0 of page {page} extends beyond the page"));
    let key = |index: usize| {
        let header = at + 16 + index * 16;
        header + u32::from_le_bytes(good[header + 4..header + 8].try_into().unwrap()) as usize
    };
    let first = key(0);
    // The second entry becomes older than the first.
    let unordered = damaged(&|bytes| bytes[key(1)..key(1) + 8].fill(0));
    is_bad("snap.db", &unordered, &format!("the keys of page {page} are not in order"));
    let no_revision = damaged(&|bytes| bytes[first + 8] = b'`');
    is_bad("snap.db", &no_revision, "has a key that is not a revision");
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
    // The table does not call that sound.
    assert!(row.lines().nth(1).is_some_and(|row| row.contains("verified   failed")), "{row}");
    let second = "meta page 1 has a wrong checksum, meta page 0 is readable (at byte 4096)";
    is_bad("snap.db", &damaged(&[PAGE + 50]), second);
    is_bad("snap.db", &damaged(&[70, PAGE + 50]), "no meta page is readable");
}

#[test]
fn a_free_list_that_contradicts_the_pages_is_reported() {
    let good = std::fs::read(bolt("pages-4096.db")).unwrap();
    is_good(bolt("").as_path(), "pages-4096.db");
    let list = u64::from_le_bytes(good[16 + 32..16 + 40].try_into().unwrap()) as usize * PAGE;
    assert_eq!(good[list + 8], 0x10, "the file has a free list");
    let count = u16::from_le_bytes([good[list + 10], good[list + 11]]);
    let root = u64::from_le_bytes(good[16 + 16..16 + 24].try_into().unwrap());
    let first = u64::from_le_bytes(good[list + 16..list + 24].try_into().unwrap());
    for (page, text) in [
        (root, format!("page {root} is in use and in the free list")),
        (1, "the free list has an entry for page 1, which does not exist".to_owned()),
        (first, format!("the free list has two entries for page {first}")),
        (u64::MAX / 2, format!("the free list has an entry for page {}, which does not exist", u64::MAX / 2)),
    ] {
        // One entry more. The others stay.
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
