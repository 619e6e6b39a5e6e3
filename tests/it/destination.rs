//! File systems that refuse to name the snapshot. strace makes the system calls of the real binary fail.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::Rig;

/// What a run told, and the files that it left.
struct Ended {
    code: Option<i32>,
    stderr: String,
    /// Name and size, without the kubeconfig.
    files: Vec<(String, u64)>,
}

fn strace_words(faults: &[&str]) -> Vec<String> {
    let words = ["-f", "-qq", "-o", "/dev/null"].map(str::to_owned);
    let inject = |fault: &&str| ["-e".to_owned(), format!("inject={fault}")];
    words.into_iter().chain(faults.iter().flat_map(inject)).collect()
}

fn has_strace(faults: &[&str]) -> bool {
    let mut probe = Command::new("strace");
    probe.args(strace_words(faults)).arg("true").stderr(Stdio::null());
    let has_strace = probe.status().is_ok_and(|status| status.success());
    if !has_strace {
        eprintln!("skipped: this system has no strace, or forbids it");
    }
    has_strace
}

/// Runs the plugin while `faults` (`renameat2:error=EINVAL`) are injected; `None` if this system has no strace.
fn run_with_faults(rig: &Rig, faults: &[&str], words: &str) -> Option<Ended> {
    if !has_strace(faults) {
        return None;
    }
    let mut command = rig.command_of("strace");
    command.args(strace_words(faults)).arg(Rig::plugin());
    let output = command.args(words.split(' ')).output().unwrap();
    let entries = std::fs::read_dir(rig.directory.path()).unwrap().flatten();
    let mut files: Vec<(String, u64)> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .filter(|(name, _)| name != "config")
        .collect();
    files.sort();
    Some(Ended { code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned(), files })
}

const NO_EXCLUSIVE_RENAME: [&str; 2] = ["renameat2:error=EINVAL", "?link,linkat:error=EPERM"];

#[test]
fn a_file_system_without_links_and_exclusive_renames_gets_the_file_under_its_name() {
    let rig = Rig::new();
    let Some(ended) = run_with_faults(&rig, &NO_EXCLUSIVE_RENAME, "--out x.db") else { return };
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.files.len(), 1, "{:?}\n{}", ended.files, ended.stderr);
    assert_eq!(ended.files[0].0, "x.db");
    rig.run(&["verify", "x.db"]).code(0);
}

#[test]
fn a_file_that_gets_no_name_is_kept_and_named() {
    let rig = Rig::new();
    // The second rename: the first one is the trial before the run.
    let faults = [NO_EXCLUSIVE_RENAME[0], NO_EXCLUSIVE_RENAME[1], "?rename,?renameat:error=EIO:when=2+"];
    for words in ["--out x.db", "--out x.db --force"] {
        let Some(ended) = run_with_faults(&rig, &faults, words) else { return };
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(ended.files.len(), 1, "{:?}\n{}", ended.files, ended.stderr);
        let (name, _) = &ended.files[0];
        assert!(name.starts_with(".x.db.") && name.ends_with(".part"), "{name}");
        assert!(ended.stderr.contains("error: cannot rename the snapshot to x.db: "), "{}", ended.stderr);
        assert!(ended.stderr.contains("it is verified and kept as "), "{}", ended.stderr);
        assert!(ended.stderr.contains(name.as_str()), "{name} is not named: {}", ended.stderr);
        rig.run(&["verify", name]).code(0);
        std::fs::remove_file(rig.path(name)).unwrap();
        assert_eq!(rig.cluster.left(), (0, 0, 0));
    }
}

#[test]
fn a_file_that_cannot_be_synced_is_kept_as_unverified() {
    let rig = Rig::new();
    let Some(ended) = run_with_faults(&rig, &["fsync:error=EIO:when=1"], "--out x.db") else { return };
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write the snapshot to disk: Input/output error"), "{}", ended.stderr);
    assert!(ended.stderr.contains("it is kept as x.db.unverified"), "{}", ended.stderr);
    assert_eq!(ended.files.len(), 1, "{:?}", ended.files);
    rig.run(&["verify", "x.db.unverified"]).code(0);
}

#[test]
fn a_file_system_that_cannot_rename_is_refused_before_anything_is_asked() {
    let rig = Rig::new();
    let faults = ["?rename,?renameat,renameat2:error=EPERM"];
    let Some(ended) = run_with_faults(&rig, &faults, "--out x.db") else { return };
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot rename files in directory .: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: choose a directory on another file system"), "{}", ended.stderr);
    assert_eq!(ended.files, []);
    assert!(rig.cluster.shared.state().requests.is_empty(), "something was asked of the cluster");
}

#[test]
fn a_signal_after_verification_does_not_delete_the_file() {
    let rig = Rig::new();
    let faults = ["fsync:delay_enter=3000000"];
    if !has_strace(&faults) {
        return;
    }
    let mut command = rig.command_of("strace");
    command.args(strace_words(&faults)).args(["sh", "-c", "echo $$ > pid; exec \"$0\" --out x.db"]).arg(Rig::plugin());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let before: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Verified")).collect();
    // The file is synced right after this line.
    std::thread::sleep(Duration::from_millis(500));
    let pid = std::fs::read_to_string(rig.path("pid")).unwrap();
    assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
    let after = lines.collect::<Vec<String>>().join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{before:#?}\n{after}");
    assert!(after.contains("it is kept as x.db.unverified"), "{after}");
    assert!(!after.contains("is deleted"), "{after}");
    rig.run(&["verify", "x.db.unverified"]).code(0).leaves_only(&["pid", "x.db.unverified"]);
}

#[test]
fn a_file_is_read_back_from_disk() {
    let rig = Rig::new();
    let document = rig.run(&["--out", "x.db", "--read-back", "-o", "json"]).code(0).json();
    // A system that keeps all files in memory cannot drop them.
    let found = document["readBack"].as_str().unwrap();
    assert!(["verified", "verified from cache"].contains(&found), "{document:#}");
    let without = rig.run(&["--out", "y.db", "-o", "json"]).code(0).json();
    assert!(without["readBack"].is_null(), "{without:#}");
    rig.run(&["--out", "-", "--read-back"]).code(2).says("--read-back needs a file");
}

#[test]
fn a_file_that_cannot_be_read_back_is_kept_as_unverified() {
    let rig = Rig::new();
    // With --verify checksum, nothing else reads the file.
    let words = "--out x.db --verify checksum --read-back";
    let Some(ended) = run_with_faults(&rig, &["pread64:error=EIO"], words) else { return };
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let message = "cannot read the snapshot back: Input/output error (os error 5); it is kept as x.db.unverified";
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
    assert_eq!(ended.files.len(), 1, "{:?}", ended.files);
    rig.run(&["verify", "x.db.unverified"]).code(0);
}
