//! The chosen member fails before the first byte: the next one is taken, offered, or named in a hint.

use crate::support::fake_cluster::faults::Faults;
use crate::support::{Rig, three};

/// Three members; the node of cp1 is in trouble, so a backup of cp1 fails before anything is created.
fn rig(script: impl FnOnce(&mut Faults)) -> Rig {
    Rig::members(three(), |faults| {
        faults.member("cp1").node_condition = Some(("DiskPressure", "True"));
        script(faults);
    })
}

#[test]
fn with_the_flag_the_next_member_is_taken() {
    let rig = rig(|_| ());
    let outcome = rig
        .run(&["--out", "x.db", "--member", "cp1", "--failover", "-o", "json"])
        .code(0)
        .says("member etcd-cp1 failed before the first byte: node cp1 is under disk pressure")
        .says("Continuing with member etcd-cp");
    let document = outcome.json();
    assert_ne!(document["member"]["pod"], "kube-system/etcd-cp1");
    assert!(document["warnings"].to_string().contains("failed before the first byte"), "{document}");
    outcome.leaves_only(&["x.db"]);
}

#[test]
fn a_default_name_is_that_of_the_member_that_was_taken() {
    let rig = rig(|_| ());
    let document = rig.run(&["--member", "cp1", "--failover", "-o", "json"]).code(0).json();
    let name = document["member"]["name"].as_str().unwrap();
    assert!(document["file"].as_str().unwrap().starts_with(&format!("etcd-test-{name}-")), "{document}");
}

#[test]
fn a_pod_that_does_not_become_ready_is_passed_over() {
    let rig = Rig::members(three(), |faults| faults.member("cp2").not_ready = true);
    rig.run(&["--out", "x.db", "--member", "cp2", "--failover", "--pod-running-timeout", "1s"])
        .code(0)
        .says("member etcd-cp2 failed before the first byte: pod kube-system/etcd-cp2 is not ready after 1s")
        .leaves_only(&["x.db"]);
}

#[test]
fn a_job_that_failed_is_gone_before_the_next_is_made() {
    let rig = Rig::members(three(), |faults| faults.evicted = true);
    let outcome =
        rig.run(&["--out", "x.db", "--failover"]).code(1).says("Continuing with member").says("the node evicted");
    assert_eq!(outcome.stderr.matches("failed before the first byte").count(), 2, "{}", outcome.stderr);
    outcome.leaves_only(&[]);
    assert_eq!(rig.cluster.requests("POST", "/jobs").len(), 3);
}

#[test]
fn without_the_flag_and_a_terminal_a_hint_names_it() {
    let rig = rig(|_| ());
    rig.run(&["--out", "x.db", "--member", "cp1"])
        .code(1)
        .says("node cp1 is under disk pressure")
        .says("hint: use --failover to continue with the next member, here etcd-cp")
        .leaves_only(&[]);
    // There is no other member.
    let single = Rig::with(|faults| faults.node_condition = Some(("DiskPressure", "True")));
    single.run(&["--out", "x.db"]).code(1).says_not("--failover");
}

#[test]
fn a_refusal_and_a_copy_that_broke_are_no_reason() {
    let refused = Rig::members(three(), |faults| faults.forbid.push(("get", "nodes/proxy")));
    refused.run(&["--out", "x.db", "--failover", "--transport", "node"]).code(3).says_not("Continuing");
    let broken = Rig::members(three(), |faults| faults.flip_at = Some(5000));
    broken.run(&["--out", "x.db", "--failover"]).code(4).says_not("Continuing").leaves_only(&[]);
    let stalled = Rig::members(three(), |faults| faults.stall_at = Some(100_000));
    stalled
        .run(&["--out", "x.db", "--failover", "--stall-timeout", "2s"])
        .code(1)
        .says_not("Continuing")
        .leaves_only(&[]);
}
