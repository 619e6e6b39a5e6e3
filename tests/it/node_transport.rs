//! The copy is complete and verified, or there is no file, whatever the network does to it.

use std::process::Command;

use crate::support::etcd::{Etcd, tool};
use crate::support::fake_cluster::faults::Faults;
use crate::support::{KEYS, Rig};

/// A backup that must succeed in spite of the faults.
fn survives(script: impl FnOnce(&mut Faults)) {
    let rig = Rig::with(script);
    rig.run(&["--out", "x.db", "--stall-timeout", "5s"]).code(0).says("sha-256 matches").leaves_only(&["x.db"]);
    let status = Command::new(tool("etcdutl")).args(["snapshot", "status"]).arg(rig.path("x.db")).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

fn fails(script: impl FnOnce(&mut Faults), code: i32, says: &str) {
    let rig = Rig::with(script);
    rig.run(&["--out", "x.db", "--stall-timeout", "2s"]).code(code).says(says).leaves_only(&[]);
}

#[test]
fn a_scratch_etcd_booted_from_the_file_holds_every_key() {
    let rig = Rig::new();
    rig.run(&["--out", "x.db"]).code(0).says("Etcd successfully backed up to x.db").leaves_only(&["x.db"]);
    assert_eq!(Etcd::restored(&rig.path("x.db")).count(), KEYS);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(rig.path("x.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let deletes = rig.cluster.requests("DELETE", "/jobs/");
    assert_eq!(deletes[0].json()["propagationPolicy"], "Foreground");
    assert!(deletes[0].json()["preconditions"]["uid"].is_string());
    assert!(rig.cluster.requests("GET", "/proxy/logs/").iter().all(|request| !request.target.contains('?')));
}

#[test]
fn the_document_is_on_standard_output_and_status_lines_are_not() {
    let rig = Rig::new();
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0);
    let document: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("nothing but JSON");
    let sum = Command::new("sha256sum").arg(rig.path("x.db")).output().unwrap();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(document["sha256"].as_str().unwrap()));
    assert_eq!(document["sizeBytes"].as_u64(), Some(std::fs::metadata(rig.path("x.db")).unwrap().len()));
    assert_eq!(document["member"]["pod"], "kube-system/etcd-cp1");
    assert_eq!(document["verified"]["checksum"], "verified");
    assert_eq!(document["cluster"]["uid"], "uid-of-kube-system");
}

#[test]
fn quiet_says_nothing_and_a_default_name_is_found() {
    let rig = Rig::new();
    let outcome = rig.run(&["-q"]).code(0);
    assert_eq!((outcome.stderr.as_str(), outcome.stdout.len()), ("", 0));
    let names: Vec<_> = std::fs::read_dir(rig.directory.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("etcd-test-cp1-") && name.ends_with("Z.db")), "{names:?}");
}

#[test]
fn standard_output_is_a_true_stream() {
    let rig = Rig::new();
    let outcome = rig.run(&["--out", "-"]).code(0).leaves_only(&[]);
    std::fs::write(rig.path("piped.db"), &outcome.stdout).unwrap();
    assert_eq!(Etcd::restored(&rig.path("piped.db")).count(), KEYS);
}

#[test]
fn an_existing_file_stays_until_the_new_one_is_verified() {
    let rig = Rig::with(|faults| faults.flip_at = Some(100_000));
    std::fs::write(rig.path("x.db"), "old").unwrap();
    rig.run(&["--out", "x.db"]).code(1).says("it already exists");
    rig.run(&["--out", "x.db", "--force"]).code(4).leaves_only(&["x.db"]);
    assert_eq!(std::fs::read_to_string(rig.path("x.db")).unwrap(), "old");
    rig.cluster.shared.state().faults.flip_at = None;
    rig.run(&["--out", "x.db", "--force"]).code(0).leaves_only(&["x.db"]);
    assert!(std::fs::metadata(rig.path("x.db")).unwrap().len() > 1000);
}

#[test]
fn a_file_that_is_still_being_written_is_copied_while_it_grows() {
    let rig = Rig::with(|faults| faults.save_rate = Some(3 << 20));
    rig.run(&["--out", "x.db"]).code(0).leaves_only(&["x.db"]);
    assert!(rig.cluster.requests("GET", "snapshot.db.part").len() > 3);
}

#[test]
fn broken_connections_are_resumed_at_their_offset() {
    survives(|faults| faults.cuts = vec![0]);
    survives(|faults| faults.cuts = vec![1, 16_384, 1_000_000, 5_000_001]);
    // In the last 32 bytes, where the checksum is.
    let size = {
        let rig = Rig::new();
        rig.run(&["--out", "x.db"]).code(0);
        std::fs::metadata(rig.path("x.db")).unwrap().len()
    };
    survives(move |faults| faults.cuts = vec![size - 31, size - 1]);
}

#[test]
fn a_connection_that_breaks_when_etcdctl_renames_its_file() {
    let rig = Rig::with(|faults| {
        faults.save_rate = Some(4 << 20);
        faults.rename_at = Some(1_000_000);
    });
    rig.run(&["--out", "x.db"]).code(0).says("sha-256 matches").leaves_only(&["x.db"]);
    // Before etcdctl has made its file, both names are looked for; the last request is for what came behind the break.
    let finals = rig.cluster.requests("GET", "snapshot.db");
    let resumed = finals.iter().rfind(|request| request.target.ends_with("snapshot.db")).expect("it asks for the name");
    let range = resumed.header("range").expect("a range");
    let offset = range.trim_start_matches("bytes=").split('-').next().and_then(|start| start.parse::<u64>().ok());
    assert!(offset.is_some_and(|offset| offset > 1_000_000), "{range}");
}

#[test]
fn a_kubelet_or_api_server_that_restarts() {
    survives(|faults| faults.unavailable = Some(std::time::Duration::from_secs(2)));
}

#[test]
fn proxies_that_ignore_ranges_or_have_a_base_path() {
    survives(|faults| faults.ignore_range = true);
    survives(|faults| {
        faults.ignore_range = true;
        faults.save_rate = Some(4 << 20);
    });
    survives(|faults| faults.base_path = "/k8s/clusters/c-x");
}

#[test]
fn a_proxy_that_compresses() {
    fails(|faults| faults.gzip = true, 1, "compresses the responses");
}

#[test]
fn one_wrong_byte_anywhere_is_a_bad_file() {
    fails(|faults| faults.flip_at = Some(2_000_000), 4, "does not match its contents");
    fails(|faults| faults.flip_at = Some(-1), 4, "does not match its contents");
}

#[test]
fn a_file_that_is_too_short_is_a_bad_file() {
    fails(|faults| faults.short_by = 1, 4, "the snapshot is incomplete");
    fails(|faults| faults.short_by = 4096, 4, "does not match its contents");
}

#[test]
fn a_stream_that_never_ends() {
    fails(
        |faults| {
            faults.endless = true;
            faults.ignore_range = true;
        },
        1,
        "the snapshot does not end",
    );
}

#[test]
fn a_server_that_goes_silent() {
    fails(|faults| faults.stall_at = Some(3_000_000), 1, "the copy stalled: no byte from node cp1 for 2s");
}

#[test]
fn a_job_that_another_user_deletes_while_copying() {
    fails(
        |faults| {
            faults.delete_job_at = Some(1_000_000);
            faults.save_rate = Some(2 << 20);
        },
        1,
        "was deleted while the snapshot was taken",
    );
}

#[test]
fn a_pod_that_is_replaced_while_copying() {
    let rig = Rig::with(|faults| {
        faults.replace_pod_at = Some(1_000_000);
        faults.save_rate = Some(2 << 20);
    });
    rig.run(&["--out", "x.db", "--stall-timeout", "3s"])
        .code(1)
        .says("was replaced while the snapshot was taken")
        .leaves_only(&[]);
}

#[test]
fn a_job_that_hits_its_deadline() {
    fails_with(
        |faults| faults.save_rate = Some(100_000),
        &["--deadline", "2s"],
        "etcdctl did not finish within 2s",
        "--deadline allows",
    );
}

/// Two clocks end it, the job's and ours, and either may be first.
fn fails_with(script: impl FnOnce(&mut Faults), words: &[&str], one: &str, other: &str) {
    let rig = Rig::with(script);
    let words: Vec<&str> = ["--out", "x.db"].iter().chain(words).copied().collect();
    let outcome = rig.run(&words).code(1).leaves_only(&[]);
    assert!(outcome.stderr.contains(one) || outcome.stderr.contains(other), "{}", outcome.stderr);
}

#[test]
fn a_download_slower_than_the_ttl_extends_it() {
    let rig = Rig::with(|faults| faults.throttle = Some(800_000));
    rig.run(&["--out", "x.db", "--job-ttl", "4s"]).code(0).leaves_only(&["x.db"]);
    assert!(!rig.cluster.requests("PATCH", "/jobs/").is_empty());
}
