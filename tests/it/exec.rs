//! The transport `exec`: etcdctl and tools in the etcd container, run for real, and a connection that breaks.

use std::time::Duration;

use crate::support::etcd::Etcd;
use crate::support::fake_cluster::container::Faults as Container;
use crate::support::fake_cluster::faults::Faults;
use crate::support::{KEYS, Rig};

const EXEC: [&str; 4] = ["--out", "x.db", "--transport", "exec"];

fn shell(faults: &mut Faults) {
    faults.container.tools = Container::ALL.to_vec();
}

fn survives(script: impl FnOnce(&mut Container)) {
    let rig = Rig::with(|faults| {
        shell(faults);
        script(&mut faults.container);
    });
    rig.run(&[&EXEC[..], &["--stall-timeout", "5s"]].concat()).code(0).says("sha-256 matches").leaves_only(&["x.db"]);
}

fn fails(script: impl FnOnce(&mut Container), code: i32, says: &[&str]) {
    let rig = Rig::with(|faults| {
        shell(faults);
        script(&mut faults.container);
    });
    let mut outcome = rig.run(&[&EXEC[..], &["--stall-timeout", "2s"]].concat()).code(code);
    for text in says {
        outcome = outcome.says(text);
    }
    outcome.leaves_only(&[]);
}

#[test]
fn a_scratch_etcd_booted_from_the_file_holds_every_key() {
    let rig = Rig::with(shell);
    let outcome = rig.run(&[&EXEC[..], &["-o", "json"]].concat()).code(0).says("Transport exec").leaves_only(&["x.db"]);
    assert_eq!(Etcd::restored(&rig.path("x.db")).count(), KEYS);
    let document: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(document["transport"], "exec");
    assert!(document["containerFile"].as_str().unwrap().contains("/etcd-backup-"));
    assert!(rig.cluster.requests("POST", "/jobs").is_empty());
}

#[test]
fn each_way_to_print_a_file_is_enough_and_resumes() {
    for reader in ["tail", "dd", "cat", "cp"] {
        survives(move |container| {
            container.tools = vec!["rm", "sleep", reader];
            container.cuts = vec![0, 100_001, 3_000_000];
        });
    }
}

#[test]
fn a_connection_that_closes_in_good_order_without_a_status_is_resumed() {
    survives(|container| container.close_at = Some(2_000_000));
}

#[test]
fn an_api_server_that_starts_and_refuses_what_it_allowed_is_waited_for() {
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.cuts = vec![2_000_000];
        faults.forgets_rules = Some(Duration::from_secs(2));
    });
    rig.run(&EXEC).code(0).says("sha-256 matches").leaves_only(&["x.db"]);
    // The same while the file is removed.
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.flip_at = Some(2_000_000);
        faults.forgets_rules = Some(Duration::from_secs(3));
    });
    rig.run(&EXEC).code(4).says_not("cannot delete").leaves_only(&[]);
}

#[test]
fn a_tool_that_prints_to_standard_error() {
    survives(|container| container.noise = Some("tail: warning: something odd\n"));
}

#[test]
fn a_container_without_a_shell_or_without_tools() {
    fails(|container| container.tools = Vec::new(), 1, &["has no shell", "executable file not found"]);
    fails(|container| container.tools = vec!["cat", "rm"], 1, &["has no sleep", "could not delete the snapshot there"]);
    fails(|container| container.tools = vec!["cat", "sleep"], 1, &["has no rm"]);
    fails(|container| container.tools = vec!["rm", "sleep"], 1, &["no tool that prints a file"]);
}

#[test]
fn too_little_free_space_is_refused_before_anything_is_written() {
    fails(
        |container| container.free = Some(101_000),
        1,
        &["not enough free space in container etcd", "nothing was written"],
    );
}

#[test]
fn a_disk_that_fills_up() {
    fails(
        |container| container.save_fails = Some("Error: write /tmp/x.part: no space left on device"),
        1,
        &["the file system of container etcd of pod kube-system/etcd-cp1 is full"],
    );
}

#[test]
fn the_error_of_etcdctl_is_shown() {
    fails(|container| container.save_fails = Some("Error: etcdserver: request timed out"), 1, &["request timed out"]);
}

#[test]
fn a_silent_connection() {
    fails(
        |container| container.silent_at = Some(2_000_000),
        1,
        &["the copy stalled: no byte from container etcd", "went silent"],
    );
}

#[test]
fn a_file_that_another_process_removes() {
    fails(
        |container| container.vanishes_at = Some(1_000_000),
        1,
        &["the finished snapshot is no longer in container etcd"],
    );
}

#[test]
fn one_wrong_byte_is_a_bad_file() {
    fails(|container| container.flip_at = Some(2_000_000), 4, &["does not match its contents"]);
}

#[test]
fn a_refused_deletion_is_reported_with_the_name_of_the_file() {
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.no_delete = true;
    });
    let outcome = rig
        .run(&EXEC)
        .code(0)
        .says("cannot delete /")
        .says(" in container etcd of pod kube-system/etcd-cp1: rm: cannot remove: Operation not permitted");
    assert!(outcome.stderr.contains("kubectl exec -n kube-system etcd-cp1 -c etcd -- rm -f"), "{}", outcome.stderr);
}

#[test]
fn signals_while_saving_or_copying_remove_the_file_and_end_what_runs() {
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.save_after = Some(Duration::from_secs(60));
    });
    let saving = rig.start(&EXEC).until(|rig| rig.cluster.requests("GET", "snapshot").len() == 1);
    std::thread::sleep(Duration::from_millis(300));
    saving.signal("INT").end().code(130).says("Removing the file").leaves_only(&[]);

    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.throttle = Some(1_000_000);
    });
    rig.start(&EXEC).copying().signal("TERM").end().code(143).leaves_only(&[]);
}

#[test]
fn a_killed_run_leaves_nothing_after_the_ttl() {
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.throttle = Some(1_000_000);
    });
    let words = [&EXEC[..], &["--job-ttl", "1s"]].concat();
    let outcome = rig.start(&words).copying().signal("KILL").end();
    assert_eq!(outcome.code, None);
    assert!(rig.cluster.left().2 > 0, "the file is there at first");
    let start = std::time::Instant::now();
    while rig.cluster.left() != (0, 0, 0) {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", rig.cluster.left());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_copy_slower_than_the_ttl_extends_it() {
    let rig = Rig::with(|faults| {
        shell(faults);
        faults.container.throttle = Some(800_000);
    });
    rig.run(&[&EXEC[..], &["--job-ttl", "3s"]].concat()).code(0).leaves_only(&["x.db"]);
}
