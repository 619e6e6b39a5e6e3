//! `verify` through the binary: what it says of good files, and the one sentence for each kind of bad one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::etcd::{Etcd, tool};
use crate::support::files::{bolt, mend, seed, snapshot};

const PAGE: usize = 4096;

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn verify(directory: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"));
    // No kubeconfig, no home: nothing of a cluster is looked at.
    command.arg("verify").args(words).current_dir(directory).env_clear().stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A directory with one file.
fn with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(name), bytes).expect("it can be written");
    directory
}

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

fn is_good(directory: &Path, name: &str) -> Value {
    let outcome = verify(directory, &[name, "-o", "json"]);
    assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("it prints JSON")
}

/// What etcdutl says.
fn status(path: &Path) -> Value {
    let output = Command::new(tool("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// The figures in a document are those of etcdutl for the same file.
fn same_figures(document: &Value, path: &Path) {
    let status = status(path);
    for (ours, theirs) in
        [("hash", "hash"), ("revision", "revision"), ("totalKeys", "totalKey"), ("totalSizeBytes", "totalSize")]
    {
        assert_eq!(document[ours], status[theirs], "{ours} of {}", path.display());
    }
    assert_eq!(document["storageVersion"].as_str().unwrap_or_default(), status["version"].as_str().unwrap_or_default());
}

#[test]
fn a_good_snapshot_gets_a_row_with_the_figures_of_etcdutl() {
    let directory = with("snap.db", snapshot());
    let outcome = verify(directory.path(), &["snap.db"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let rows: Vec<Vec<&str>> = outcome.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let status = status(&directory.path().join("snap.db"));
    let [head, row] = rows.as_slice() else { panic!("{}", outcome.stdout) };
    assert_eq!(head.join(" "), "FILE HASH REVISION TOTAL KEYS TOTAL SIZE STORAGE VERSION TRANSPORT STRUCTURE CONTENT");
    assert_eq!(
        row[..4],
        [
            "snap.db",
            &format!("{:x}", status["hash"].as_u64().unwrap()),
            &status["revision"].to_string(),
            &status["totalKey"].to_string()
        ]
    );
    assert_eq!(row[6..], ["3.6.0", "proven", "proven", "not", "checked"]);
}

#[test]
fn the_document_has_every_figure_and_level() {
    let directory = with("snap.db", snapshot());
    let document = is_good(directory.path(), "snap.db");
    same_figures(&document, &directory.path().join("snap.db"));
    assert_eq!(document["sizeBytes"], snapshot().len());
    assert_eq!(document["verified"]["transport"], "proven");
    assert_eq!(document["verified"]["structure"], "proven");
    assert_eq!(document["problems"], serde_json::json!([]));
    assert_eq!(document["sha256"].as_str().map(str::len), Some(64));
    assert!(document["compactRevision"].as_i64().unwrap() > 0);

    let yaml = verify(directory.path(), &["snap.db", "-o", "yaml"]);
    assert!(yaml.stdout.starts_with("file: snap.db\n") && yaml.stdout.contains("\n  transport: proven\n"));
}

#[test]
fn several_files_are_a_list_and_one_bad_one_decides_the_exit_code() {
    let directory = with("good.db", snapshot());
    std::fs::write(directory.path().join("bad.db"), &snapshot()[..5000]).unwrap();
    let outcome = verify(directory.path(), &["bad.db", "missing.db", "good.db", "-o", "json"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    let items: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(items["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(items["items"][0]["problems"][0]["offset"], 5000);
    assert_eq!(items["items"][1]["problems"], serde_json::json!([]));
    assert!(outcome.stderr.contains("error: cannot read missing.db"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("error: bad.db: the file is cut"), "{}", outcome.stderr);
}

#[test]
fn what_cannot_be_read_is_no_bad_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("missing.db", "cannot read missing.db"), (".", "it is no plain file")] {
        let outcome = verify(directory.path(), &[name]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{}", outcome.stderr);
    }
    let outcome = verify(directory.path(), &[]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
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
    ] {
        let mut bytes = mark.to_vec();
        bytes.extend((0..5000_u32).map(|n| ((n * 7919) >> 3) as u8));
        is_bad("snap.db", &bytes, &format!("this is a {name} file"));
    }
    let mut tar = vec![0; 10240];
    tar[..7].copy_from_slice(b"snap.db");
    tar[257..262].copy_from_slice(b"ustar");
    is_bad("snap.db", &tar, "this is a tar archive");
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    is_bad("snap.db", &noise, "it has no bbolt meta page");
    is_bad("foreign.db", &std::fs::read(bolt("foreign.db")).unwrap(), "not etcd's");
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

#[test]
fn a_changed_value_and_a_changed_trailer_are_one_diagnosis() {
    let mut bad = snapshot().to_vec();
    let last = bad.len() - 1;
    bad[last] ^= 0x40;
    let text = "the sha-256 at the end does not match, though the structure is sound: the trailer or some value";
    let outcome = is_bad("snap.db", &bad, text);
    assert_eq!(outcome.stderr.lines().count(), 2, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("failed      proven"), "{}", outcome.stdout);
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
    is_bad("snap.db", &damaged(&[70]), "meta page 0 has a wrong checksum, meta page 1 is readable (at byte 0)");
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
    let first = u64::from_le_bytes(good[list + 16..list + 24].try_into().unwrap());
    let root = u64::from_le_bytes(good[16 + 16..16 + 24].try_into().unwrap());
    for (page, text) in [
        (root, format!("page {root} is in use and in the free list")),
        (1, "the free list names page 1, which is no page".to_owned()),
        (u64::MAX / 2, "which is no page or there already".to_owned()),
    ] {
        let mut bad = good.clone();
        bad[list + 16..list + 24].copy_from_slice(&page.to_le_bytes());
        mend(&mut bad);
        // Which of the two is found first depends on the numbers; either names a page.
        let outcome = verify(with("f.db", &bad).path(), &["f.db"]);
        let other = format!("page {first} is neither in use nor in the free list");
        assert_eq!(outcome.code, Some(4));
        assert!(outcome.stderr.contains(&text) || outcome.stderr.contains(&other), "{}", outcome.stderr);
    }
    let mut shorter = good.clone();
    let count = u16::from_le_bytes([good[list + 10], good[list + 11]]);
    shorter[list + 10..list + 12].copy_from_slice(&(count - 1).to_le_bytes());
    mend(&mut shorter);
    is_bad("f.db", &shorter, "is neither in use nor in the free list");
}

#[test]
fn databases_of_every_page_size_and_with_long_free_lists_are_read() {
    let directory = bolt("");
    for name in ["pages-4096.db", "pages-8192.db", "pages-16384.db", "pages-32768.db", "pages-65536.db", "free-many.db"]
    {
        let document = is_good(&directory, name);
        same_figures(&document, &directory.join(name));
    }
}

#[test]
fn a_members_own_database_is_proven_but_for_the_transport() {
    let directory = with("snap.db", snapshot());
    for words in [&[][..], &["--bump-revision", "1000", "--mark-compacted"]] {
        let data = directory.path().join(format!("restored{}", words.len()));
        let output = Command::new(tool("etcdutl"))
            .args(["snapshot", "restore"])
            .arg(directory.path().join("snap.db"))
            .arg("--data-dir")
            .arg(&data)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = data.join("member/snap/db");
        let document = is_good(directory.path(), file.to_str().unwrap());
        assert_eq!(document["verified"]["transport"], "no trailer");
        assert_eq!(document["verified"]["structure"], "proven");
        assert_eq!(document["format"], "member database");
        same_figures(&document, &file);
    }
}

#[test]
fn the_database_of_a_member_that_was_killed_is_read() {
    let mut etcd = Etcd::start();
    etcd.fill(300, 100);
    etcd.stop();
    let document = is_good(Path::new("/"), etcd.database().to_str().unwrap());
    assert_eq!(document["verified"]["transport"], "no trailer");
}

#[test]
fn an_etcd_without_a_key_and_one_with_a_large_value() {
    let etcd = Etcd::start();
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.db");
    etcd.save(&empty);
    let document = is_good(directory.path(), "empty.db");
    same_figures(&document, &empty);
    assert_eq!((&document["totalKeys"], &document["revision"]), (&Value::from(0), &Value::from(0)));

    etcd.put_large("/registry/large", 1_500_000);
    let large = directory.path().join("large.db");
    etcd.save(&large);
    let document = is_good(directory.path(), "large.db");
    same_figures(&document, &large);
    assert_eq!(document["totalKeys"], 1);
}

#[test]
fn a_compaction_that_was_not_finished_is_no_fault() {
    let directory = with("leaf.db", &seed("leaf.db"));
    let document = is_good(directory.path(), "leaf.db");
    same_figures(&document, &directory.path().join("leaf.db"));
    assert_eq!(document["compactRevision"], 3);
}

#[test]
fn the_document_of_a_backup_is_compared() {
    let directory = with("snap.db", snapshot());
    let say = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let good = verify(directory.path(), &["snap.db", "-o", "json"]).stdout;
    say("good.json", &good);
    let outcome = verify(directory.path(), &["snap.db", "--document", "good.json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    say("good.yaml", &verify(directory.path(), &["snap.db", "-o", "yaml"]).stdout);
    assert_eq!(verify(directory.path(), &["snap.db", "--document", "good.yaml"]).code, Some(0));

    let mut document: Value = serde_json::from_str(&good).unwrap();
    document["sha256"] = Value::from("0".repeat(64));
    say("other.json", &document.to_string());
    let outcome = verify(directory.path(), &["snap.db", "--document", "other.json"]);
    assert_eq!(outcome.code, Some(4));
    assert!(outcome.stderr.contains("the document gives another sha-256"), "{}", outcome.stderr);
    document["sizeBytes"] = Value::from(77);
    say("other.json", &document.to_string());
    let outcome = verify(directory.path(), &["snap.db", "--document", "other.json"]);
    assert!(outcome.stderr.contains("the document says that the file has 77 bytes"), "{}", outcome.stderr);

    say("none.json", "{}");
    for (words, text) in [
        (&["snap.db", "--document", "none.json"][..], "none.json is no document of a backup"),
        (&["snap.db", "--document", "snap.db"], "snap.db is no document of a backup"),
        (&["snap.db", "snap.db", "--document", "good.json"], "--document describes one file"),
    ] {
        let outcome = verify(directory.path(), words);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{}", outcome.stderr);
    }
}

/// Snapshots of other versions of etcd; tests/data/README.md says how they were made.
fn version(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn snapshots_of_every_supported_version_of_etcd_are_read() {
    for (name, storage) in [("etcd-3.4.db", None), ("etcd-3.5.db", None), ("etcd-3.7.db", Some("3.7.0"))] {
        let path = version(name);
        let document = is_good(Path::new("/"), path.to_str().unwrap());
        same_figures(&document, &path);
        assert_eq!(document["storageVersion"].as_str(), storage, "{name}");
        assert!(document["totalKeys"].as_u64().unwrap() > 5, "{name}");
    }
}
