//! A workstation whose disk is full or cannot be written to.
//!
//! A small or read-only file system is mounted in a mount namespace of the run's own, so nothing of it outlives the
//! run. That needs user namespaces; where a system forbids them the tests say so and end, but not in CI.

use std::process::{Command, Stdio};

use crate::support::Rig;

/// Runs the plugin in a directory `small` on which `mount` was done first; code and standard error.
fn run_on(rig: &Rig, mount: &str, words: &str) -> Option<(Option<i32>, String, String)> {
    let allowed = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "this system forbids user namespaces, and CI must not skip a test");
        eprintln!("skipped: this system forbids user namespaces");
        return None;
    }
    std::fs::create_dir(rig.path("small")).unwrap();
    let script = format!("{mount} || exit 99; \"$0\" {words}; code=$?; ls -A small; exit $code");
    let output = rig.command_of("unshare").args(["-rm", "sh", "-c", &script]).arg(Rig::plugin()).output().unwrap();
    std::fs::remove_dir(rig.path("small")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some((output.status.code(), text(output.stdout), text(output.stderr)))
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_asked_of_the_node() {
    let rig = Rig::new();
    let mount = "mount -t tmpfs -o size=2m none small";
    for words in ["--out small/x.db", "--out-dir small", "--out small/x.db --transport node"] {
        let Some((code, left, stderr)) = run_on(&rig, mount, words) else { return };
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("error: not enough space for "), "{stderr}");
        assert!(stderr.contains("2.1 MB free, the database has "), "{stderr}");
        assert!(stderr.contains("hint: choose a directory on another file system"), "{stderr}");
        assert_eq!(left, "", "a file was left");
    }
    let state = rig.cluster.shared.state();
    let asked: Vec<String> =
        state.requests.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert!(asked.iter().any(|request| request.contains("/pods")), "{asked:#?}");
    assert!(!asked.iter().any(|request| request.contains("/nodes/") || request.contains("/jobs")), "{asked:#?}");
}

#[test]
fn a_file_system_without_a_size_is_no_full_one() {
    let rig = Rig::new();
    let mount = "mount -t tmpfs -o size=0 none small";
    let Some((code, left, stderr)) = run_on(&rig, mount, "--out small/x.db") else { return };
    assert_eq!((code, left.as_str()), (Some(0), "x.db\n"), "{stderr}");
}

#[test]
fn a_disk_that_fills_up_while_copying() {
    // The database grows after its size was asked for.
    let rig = Rig::with(|faults| faults.member("cp1").db_size = Some(1 << 20));
    let mount = "mount -t tmpfs -o size=2m none small";
    let Some((code, left, stderr)) = run_on(&rig, mount, "--out small/x.db") else { return };
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot write small/x.db: No space left on device"), "{stderr}");
    assert!(stderr.contains("hint: choose another file system with --out, or free some space"), "{stderr}");
    assert_eq!(left, "", "a partial file was left");
    assert_eq!(rig.cluster.left(), (0, 0, 0));
}

#[test]
fn a_directory_that_is_read_only_is_refused_before_anything_is_created() {
    let rig = Rig::new();
    let mount = "mount -t tmpfs -o ro none small";
    let Some((code, _, stderr)) = run_on(&rig, mount, "--out small/x.db") else { return };
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to directory small: read-only filesystem"), "{stderr}");
    assert!(rig.cluster.shared.state().requests.is_empty(), "something was asked of the cluster");
}
