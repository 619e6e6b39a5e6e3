//! `verify` through the binary: good files, their figures, and what they are compared with.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_snapshot::{Options, ReadFailure};
use serde_json::Value;

use crate::support::etcd::{Etcd, tool};
use crate::support::files::{bolt, seed, snapshot};

pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn verify(directory: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"));
    // No kubeconfig, no home: nothing of a cluster is looked at.
    command.arg("verify").args(words).current_dir(directory).env_clear().stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A directory with one file.
pub fn with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(name), bytes).expect("it can be written");
    directory
}

pub fn is_good(directory: &Path, name: &str) -> Value {
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
pub fn same_figures(document: &Value, path: &Path) {
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
    assert_eq!(head.join(" "), "FILE HASH REVISION TOTAL KEYS TOTAL SIZE STORAGE VERSION CHECKSUM STRUCTURE MEMBERS");
    assert_eq!(
        row[..4],
        [
            "snap.db",
            &format!("{:x}", status["hash"].as_u64().unwrap()),
            &status["revision"].to_string(),
            &status["totalKey"].to_string()
        ]
    );
    assert_eq!(row[6..], ["3.6.0", "verified", "verified", "not", "checked"]);
}

#[test]
fn the_document_has_every_figure_and_level() {
    let directory = with("snap.db", snapshot());
    let document = is_good(directory.path(), "snap.db");
    same_figures(&document, &directory.path().join("snap.db"));
    assert_eq!(document["sizeBytes"], snapshot().len());
    assert_eq!(document["verified"]["checksum"], "verified");
    assert_eq!(document["verified"]["structure"], "verified");
    assert_eq!(document["problems"], serde_json::json!([]));
    assert_eq!(document["sha256"].as_str().map(str::len), Some(64));
    assert!(document["compactRevision"].as_i64().unwrap() > 0);

    let yaml = verify(directory.path(), &["snap.db", "-o", "yaml"]);
    assert!(yaml.stdout.starts_with("file: snap.db\n") && yaml.stdout.contains("\n  checksum: verified\n"));
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
    for (name, text) in [("missing.db", "cannot read missing.db"), (".", "it is not a plain file")] {
        let outcome = verify(directory.path(), &[name]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{}", outcome.stderr);
    }
    let outcome = verify(directory.path(), &[]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
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
        assert_eq!(document["verified"]["checksum"], "no trailer");
        assert_eq!(document["verified"]["structure"], "verified");
        assert_eq!(document["format"], "member database");
        same_figures(&document, &file);
    }
}

#[test]
fn the_database_of_a_member_that_was_killed_or_ended_is_read() {
    for leave in [Etcd::stop, Etcd::end] {
        let mut etcd = Etcd::start();
        etcd.fill(300, 100);
        leave(&mut etcd);
        let document = is_good(Path::new("/"), etcd.database().to_str().unwrap());
        assert_eq!(document["format"], "member database");
        assert_eq!(document["verified"]["checksum"], "no trailer");
        same_figures(&document, &etcd.database());
    }
}

/// Each ends in the midst of writes and compactions.
#[test]
fn members_that_are_killed_under_load_have_a_complete_history() {
    for seed in ["21", "22", "23"] {
        let mut etcd = Etcd::with(&["--compaction-batch-limit=5", "--compaction-sleep-interval=20ms"]);
        let directory = tempfile::tempdir().unwrap();
        let mut load = Command::new(tool("snapmaker"))
            .args(["live", &etcd.url])
            .arg(directory.path())
            .args(["100000", seed, "hasty"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("snapmaker starts");
        std::thread::sleep(std::time::Duration::from_secs(2));
        etcd.stop();
        load.kill().expect("it can be killed");
        load.wait().expect("it ends");
        let document = is_good(Path::new("/"), etcd.database().to_str().unwrap());
        assert!(document["revision"].as_i64().unwrap() > 20, "{document}");
    }
}

#[test]
fn a_restore_that_bumps_the_revision_has_a_complete_history() {
    let directory = with("snap.db", snapshot());
    let path = directory.path().join("snap.db");
    let mut etcd = Etcd::restored_with(&path, &["--bump-revision", "1000", "--mark-compacted"]);
    etcd.fill(50, 100);
    etcd.ctl(&["del", "/registry/fill/000007"]);
    let again = directory.path().join("again.db");
    etcd.save(&again);
    same_figures(&is_good(directory.path(), "again.db"), &again);
    let revision = is_good(directory.path(), "again.db")["revision"].as_i64().unwrap();
    assert!(revision > 1000, "{revision}");
    etcd.ctl(&["compact", "--physical", &(revision - 1).to_string()]);
    etcd.end();
    is_good(Path::new("/"), etcd.database().to_str().unwrap());
}

/// Its pages change while they are read, and that is not damage.
#[test]
fn the_database_of_a_running_member_is_in_use_and_never_damaged() {
    let mut etcd = Etcd::start();
    etcd.fill(8000, 2000);
    let database = etcd.database();
    let ended = AtomicBool::new(false);
    let (mut sound, mut changed) = (0, 0);
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|_| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    etcd.fill(400, 2000);
                }
            })
        });
        for _ in 0..15 {
            // The library has no lock, as on a network file system.
            match etcd_snapshot::check(&File::open(&database).unwrap(), &Options::default()) {
                Err(ReadFailure::Changed) => changed += 1,
                Ok(report) if report.is_good() => sound += 1,
                other => {
                    ended.store(true, Ordering::Relaxed);
                    panic!("{other:?}");
                }
            }
            let outcome = verify(Path::new("/"), &[database.to_str().unwrap()]);
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{}", outcome.stderr);
            assert!(outcome.stderr.contains(": a running etcd has it open\nhint: "), "{}", outcome.stderr);
        }
        ended.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().expect("etcd takes all writes"));
    });
    eprintln!("a running member's database: {changed} times changed, {sound} times sound");
    assert!(changed > 0, "{sound} times sound");
    etcd.end();
    is_good(Path::new("/"), database.to_str().unwrap());
}

#[test]
fn a_file_without_a_sha256_is_refused_if_one_is_required() {
    let directory = with("snap.db", snapshot());
    let outcome = verify(directory.path(), &["snap.db", "--require-checksum"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut etcd = Etcd::start();
    etcd.fill(20, 100);
    etcd.end();
    let database = etcd.database();
    let database = database.to_str().unwrap();
    is_good(directory.path(), database);
    let outcome = verify(directory.path(), &["snap.db", database, "--require-checksum"]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    let text = format!("error: {database}: it does not have a sha-256 at its end, which --require-checksum asks for\n");
    assert!(outcome.stderr.starts_with(&text), "{}", outcome.stderr);
}

/// etcdutl commits without a change, as etcd 3.4 does when it ends: then the two meta pages are a snapshot's, every
/// second time.
#[test]
fn a_members_own_database_that_was_opened_without_a_change_is_no_snapshot() {
    let directory = with("snap.db", snapshot());
    let data = directory.path().join("restored");
    let etcdutl = |words: &[&str], path: &Path| {
        let mut command = Command::new(tool("etcdutl"));
        let output = command.args(words).arg(path).arg("--data-dir").arg(&data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    etcdutl(&["snapshot", "restore"], &directory.path().join("snap.db"));
    let file = data.join("member/snap/db");
    let mut alike = 0;
    for opened in 1..=4 {
        let output = Command::new(tool("etcdutl")).arg("hashkv").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let name = format!("{opened}.db");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(directory.path().join(&name), &bytes).unwrap();
        let outcome = verify(directory.path(), &[&name]);
        if outcome.code != Some(0) {
            let text = "at its end, or this is a member's own database that was closed without a change";
            assert!(outcome.code == Some(4) && outcome.stderr.contains(text), "{name}: {}", outcome.stderr);
            alike += 1;
        }
        // In use it has room at its end.
        let room = std::fs::File::options().write(true).open(directory.path().join(&name)).unwrap();
        room.set_len(16 << 20).unwrap();
        let document = is_good(directory.path(), &name);
        assert_eq!(
            (&document["format"], &document["verified"]["checksum"]),
            (&"member database".into(), &"no trailer".into())
        );
    }
    assert!(alike < 4, "every file is taken for a snapshot");
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
    assert!(outcome.stderr.contains("the file has another sha-256 than the document"), "{}", outcome.stderr);
    document["sizeBytes"] = Value::from(77);
    say("other.json", &document.to_string());
    let outcome = verify(directory.path(), &["snap.db", "--document", "other.json"]);
    assert!(outcome.stderr.contains(" bytes, but the document says 77"), "{}", outcome.stderr);

    say("none.json", "{}");
    for (words, text) in [
        (
            &["snap.db", "--document", "none.json"][..],
            "cannot read the document none.json: it is not the document of a backup",
        ),
        (&["snap.db", "--document", "snap.db"], "cannot read the document snap.db: it is not the document of a backup"),
        (&["snap.db", "snap.db", "--document", "good.json"], "--document cannot be used with several files"),
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
