//! Levels 2 and 3 of a backup: what becomes of a file that is damaged, or that holds other data than the members.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::etcd::{Etcd, tool};
use crate::support::fake_cluster::container::Faults as Container;
use crate::support::fake_cluster::faults::{Faults, Hook};
use crate::support::fake_cluster::members::FakeMember;
use crate::support::{Outcome, Rig, one_odd, three};

/// What `etcdutl snapshot status` says of a file.
fn status(rig: &Rig, name: &str) -> Value {
    let output = Command::new(tool("etcdutl")).args(["snapshot", "status", "-w", "json"]).arg(rig.path(name)).output();
    serde_json::from_slice(&output.expect("etcdutl starts").stdout).expect("it prints JSON")
}

/// The pods in which etcdctl was asked for a hash, in this order, with the revision.
fn asked(rig: &Rig) -> Vec<(String, u64)> {
    let requests = rig.cluster.requests("GET", "/exec");
    let hashes = requests.iter().filter(|request| request.query("command").contains(&"hashkv".to_owned()));
    hashes
        .map(|request| {
            let pod = request.path().rsplit('/').nth(1).unwrap().to_owned();
            let words = request.query("command");
            (pod, words.iter().find_map(|word| word.strip_prefix("--rev=")).unwrap().parse().unwrap())
        })
        .collect()
}

/// The root pages get flags that no page has.
pub fn overwrite_the_root(bytes: &mut [u8]) {
    for meta in [0, 4096] {
        let root: [u8; 8] = bytes[meta + 32..meta + 40].try_into().unwrap();
        let root = usize::try_from(u64::from_le_bytes(root)).unwrap() * 4096;
        bytes[root + 8] = 0x7f;
    }
}

fn verified(outcome: &Outcome<'_>) -> [String; 3] {
    let document = outcome.json();
    ["checksum", "structure", "members"].map(|level| document["verified"][level].as_str().unwrap().to_owned())
}

#[test]
fn three_members_that_agree_and_the_figures_of_etcdutl() {
    let rig = Rig::members(three(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0);
    let status = status(&rig, "x.db");
    let line =
        format!("structure: {} keys, revision {}, hash {};", status["totalKey"], status["revision"], status["hash"]);
    let outcome = outcome.says("Verified  checksum: sha-256 matches; structure: ").says(&line);
    let outcome = outcome.says(&format!("members: 3 of 3 agree at revision {}", status["revision"]));
    assert_eq!(verified(&outcome), ["verified", "verified", "verified"]);
    assert_eq!(outcome.json()["revision"], status["revision"]);
    outcome.leaves_only(&["x.db"]);
    // One after the other, the leader last, and only once: nothing was written during the run.
    let asked = asked(&rig);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[2].0, format!("etcd-cp{}", leader() + 1));
}

#[test]
fn the_job_is_gone_before_anything_is_asked_of_the_finished_file() {
    let etcd = own();
    let writing = Hook::new({
        let etcd = etcd.clone();
        move || drop(etcd.ctl(&["put", "/registry/later", "x"]))
    });
    let rig = Rig::singles([&*etcd], |faults| faults.before_save = Some(writing));
    rig.run(&["--out", "x.db"]).code(0).says("members: 1 of 1 agree");
    let requests = rig.cluster.shared.state().requests.clone();
    let deleted = requests.iter().position(|request| request.method == "DELETE").unwrap();
    let last = requests.iter().rposition(|request| request.target.contains("hashkv")).unwrap();
    assert!(deleted < last, "{deleted} {last}");
    let asked = asked(&rig);
    assert_eq!(asked.len(), 1, "a fast copy asks once, at the file's own revision: {asked:?}");
    assert_eq!(asked[0].1, status(&rig, "x.db")["revision"].as_u64().unwrap());
}

#[test]
fn one_member_that_differs_is_named_and_the_file_keeps_its_name() {
    let rig = Rig::singles(one_odd(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "--member", "cp1", "-o", "json"]).code(4);
    let outcome = outcome
        .says("2 of 3 agree at revision")
        .says("cp3 differs")
        .says("Etcd successfully backed up to x.db")
        .says("error: member cp3 (pod kube-system/etcd-cp3) holds other data than the snapshot and the other members")
        .says("hint: keep the snapshot, which is good, and do not restore from that member");
    assert_eq!(verified(&outcome), ["verified", "verified", "member differs"]);
    assert_eq!(outcome.json()["file"], "x.db");
    outcome.leaves_only(&["x.db"]);
}

#[test]
fn a_file_that_differs_from_the_majority_is_kept_as_unverified() {
    let rig = Rig::singles(one_odd(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "--member", "cp3", "-o", "json"]).code(4);
    let outcome = outcome
        .says("the snapshot of member cp3 differs from the data of members cp1 and cp2; it is kept as x.db.unverified")
        .says("back up another member with --member cp1")
        .says("then replace member cp3");
    assert!(!outcome.stderr.contains("successfully"), "{}", outcome.stderr);
    assert_eq!(verified(&outcome), ["verified", "verified", "differs"]);
    assert_eq!(outcome.json()["file"], "x.db.unverified");
    outcome.leaves_only(&["x.db.unverified"]);
    assert_eq!(Etcd::restored(&rig.path("x.db.unverified")).count(), 500);
}

#[test]
fn without_a_majority_the_file_is_unverified() {
    let [_, right, wrong] = one_odd();
    let rig = Rig::singles([right, wrong], |_| ());
    let outcome = rig.run(&["--out", "x.db", "--member", "cp1"]).code(4);
    outcome.says("the members do not agree with each other").leaves_only(&["x.db.unverified"]);
}

#[test]
fn an_unverified_file_replaces_neither_the_old_one_nor_another_unverified_one() {
    let rig = Rig::singles(one_odd(), |_| ());
    std::fs::write(rig.path("x.db"), "old").unwrap();
    std::fs::write(rig.path("x.db.unverified"), "older").unwrap();
    let outcome = rig.run(&["--out", "x.db", "--force", "--member", "cp3"]).code(4);
    outcome.says("kept as x.db.unverified.2").leaves_only(&["x.db", "x.db.unverified", "x.db.unverified.2"]);
    assert_eq!(std::fs::read_to_string(rig.path("x.db")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(rig.path("x.db.unverified")).unwrap(), "older");
}

#[test]
fn a_matching_checksum_on_a_damaged_database_is_a_bad_file() {
    let rig = Rig::with(|faults| faults.damage = Some(overwrite_the_root));
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(4);
    let outcome = outcome.says("the database in the snapshot is damaged").says("kept as x.db.unverified");
    assert_eq!(verified(&outcome), ["verified", "failed", "not checked"]);
    outcome.leaves_only(&["x.db.unverified"]);
}

#[test]
fn the_level_that_is_asked_for_is_the_one_that_is_looked_at() {
    let damaged = |faults: &mut Faults| faults.damage = Some(overwrite_the_root);
    let rig = Rig::with(damaged);
    let outcome = rig.run(&["--out", "x.db", "--verify", "checksum", "-o", "json"]).code(0);
    assert_eq!(verified(&outcome), ["verified", "not checked", "not checked"]);
    outcome.says("structure: not checked").leaves_only(&["x.db"]);

    let rig = Rig::singles(one_odd(), |_| ());
    let outcome = rig.run(&["--out", "x.db", "--member", "cp3", "--verify", "structure", "-o", "json"]).code(0);
    assert_eq!(verified(&outcome), ["verified", "verified", "not checked"]);
    outcome.says("members: not checked").leaves_only(&["x.db"]);
    assert!(asked(&rig).is_empty());

    let rig = Rig::new();
    rig.run(&["--out", "x.db", "--verify", "members"]).code(0).leaves_only(&["x.db"]);
    for level in ["structure", "members"] {
        rig.run(&["--out", "-", "--verify", level]).code(2).says("--verify structure and members need a file");
    }
}

/// Neither commands in pods nor connections to them.
fn shut_out(faults: &mut Faults) {
    faults.forbid.extend([("get", "pods/exec"), ("get", "pods/portforward")]);
}

#[test]
fn without_exec_and_port_forward_the_members_are_not_comparable_and_the_reason_is_printed() {
    let rig = Rig::with(shut_out);
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0);
    assert_eq!(verified(&outcome), ["verified", "verified", "not comparable"]);
    assert!(
        outcome.json()["warnings"].to_string().contains("cannot compare the snapshot with the members"),
        "{}",
        outcome.json()
    );
    outcome.says("members: not comparable").says("its state is unknown").leaves_only(&["x.db"]);

    let rig = Rig::with(shut_out);
    let outcome = rig.run(&["--out", "x.db", "--verify", "members"]).code(1);
    outcome
        .says("error: cannot compare the snapshot with the members")
        .says("kept as x.db.unverified")
        .leaves_only(&["x.db.unverified"]);
}

#[test]
fn without_exec_the_members_are_asked_over_a_connection_of_our_own() {
    let rig = Rig::members(three(), |faults| faults.forbid.push(("get", "pods/exec")));
    rig.run(&["--out", "x.db"]).code(0).says("members: 3 of 3 agree at revision").leaves_only(&["x.db"]);
    assert!(asked(&rig).is_empty());
}

#[test]
fn a_member_with_an_alarm_is_never_asked() {
    let rig = Rig::members(three(), |faults| faults.member("cp2").alarm = Some("NOSPACE"));
    let outcome = rig.run(&["--out", "x.db"]).code(0);
    outcome.says("members: 2 of 3 agree").says("cp2 was not asked, because it has the alarm NOSPACE");
    assert!(asked(&rig).iter().all(|(pod, _)| pod != "etcd-cp2"), "{:?}", asked(&rig));
    assert!(!asked(&rig).is_empty());
}

#[test]
fn large_databases_are_left_alone() {
    let rig = Rig::new();
    let outcome = rig.run(&["--out", "x.db", "--hash-max-size", "1Mi"]).code(0);
    outcome.says("members: not comparable").says("larger than --hash-max-size").leaves_only(&["x.db"]);
    assert!(asked(&rig).is_empty());
}

/// The place of the leader among the three.
fn leader() -> usize {
    let leads = |etcd: &Etcd| {
        let status: Value = serde_json::from_str(&etcd.ctl(&["endpoint", "status", "-w", "json"])).unwrap();
        status[0]["Status"]["leader"] == status[0]["Status"]["header"]["member_id"]
    };
    three().members.iter().position(leads).unwrap()
}

#[test]
fn a_member_that_takes_too_long_is_not_waited_for_and_the_leader_is_spared() {
    let leader = leader();
    let slow = ["cp1", "cp2"][usize::from(leader == 0)];
    let rig = Rig::members(three(), |faults| faults.member(slow).slow_hash = Some(Duration::from_secs(60)));
    let start = Instant::now();
    let outcome = rig.run(&["--out", "x.db", "--hash-timeout", "2s"]).code(0);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    outcome
        .says("members: 1 of 3 agree")
        .says(&format!("{slow} did not answer"))
        .says("the leader's writes would wait")
        .leaves_only(&["x.db"]);
    let leader = format!("etcd-cp{}", leader + 1);
    assert!(asked(&rig).iter().all(|(pod, _)| *pod != leader), "{:?}", asked(&rig));
}

/// Three members of which only the first has a pod.
fn one_pod_of_three(script: impl FnOnce(&mut Faults)) -> Rig {
    Rig::with_members(vec![FakeMember::new("cp1", &three().members[0].url)], script)
}

#[test]
fn members_without_a_pod_count_in_the_majority() {
    let shell: fn(&mut Faults) = |_| ();
    let no_exec: fn(&mut Faults) = |faults| faults.forbid.push(("get", "pods/exec"));
    for script in [shell, no_exec] {
        let rig = one_pod_of_three(script);
        let outcome = rig.run(&["--out", "x.db"]).code(0).says("members: 1 of 3 agree at revision");
        let url = &three().members[1].url;
        outcome
            .says(&format!("etcd lists a member at {url} that has no pod"))
            .says(&format!("a member without a pod {url} was not asked"))
            .leaves_only(&["x.db"]);
    }
}

/// What OpenShift sets in its etcd containers.
fn all_endpoints() -> Option<String> {
    Some(three().members.iter().map(|etcd| etcd.url.clone()).collect::<Vec<_>>().join(","))
}

#[test]
fn a_variable_that_names_all_members_confuses_nothing() {
    let with_shell: fn(&mut Faults) = |faults| faults.container.tools = Container::ALL.to_vec();
    let without: fn(&mut Faults) = |_| ();
    for (transport, script) in [("exec", with_shell), ("node", with_shell), ("node", without)] {
        let rig = Rig::members(three(), |faults| {
            script(faults);
            faults.container.endpoints = all_endpoints();
        });
        rig.run(&["--out", "x.db", "--transport", transport])
            .code(0)
            .says("members: 3 of 3 agree at revision")
            .leaves_only(&["x.db"]);
    }
}

/// An etcd of its own, for a test that writes to it.
fn own() -> std::sync::Arc<Etcd> {
    let etcd = Etcd::start();
    etcd.fill(1000, 3000);
    std::sync::Arc::new(etcd)
}

/// Writes twice, and compacts to the first of both.
fn compact(etcd: &Etcd) {
    let put: Value = serde_json::from_str(&etcd.ctl(&["put", "/registry/later", "x", "-w", "json"])).unwrap();
    etcd.ctl(&["put", "/registry/later", "y"]);
    etcd.ctl(&["compact", &put["header"]["revision"].to_string()]);
}

#[test]
fn a_compaction_while_copying_does_not_take_the_comparison_away() {
    let etcd = own();
    let before = etcd.ctl(&["get", "/registry/fill/000000", "-w", "json"]);
    let revision = serde_json::from_str::<Value>(&before).unwrap()["header"]["revision"].as_u64().unwrap();
    let compacting = Hook::new({
        let etcd = etcd.clone();
        move || compact(&etcd)
    });
    let rig = Rig::singles([&*etcd], |faults| {
        faults.save_rate = Some(1 << 20);
        faults.when_served = Some((2 << 20, compacting));
    });
    let outcome = rig.run(&["--out", "x.db", "--hash-after", "0s"]).code(0);
    outcome.says(&format!("members: 1 of 1 agree at revision {revision}")).leaves_only(&["x.db"]);
}

#[test]
fn a_compaction_before_the_copy_leaves_the_files_own_revision() {
    let etcd = own();
    let compacting = Hook::new({
        let etcd = etcd.clone();
        move || compact(&etcd)
    });
    let rig = Rig::singles([&*etcd], |faults| faults.before_save = Some(compacting));
    let outcome = rig.run(&["--out", "x.db"]).code(0);
    let status = status(&rig, "x.db");
    outcome.says(&format!("members: 1 of 1 agree at revision {}", status["revision"]));
}

#[test]
fn compactions_before_and_while_copying_leave_nothing_to_compare() {
    let etcd = own();
    let compacting = || {
        let etcd = etcd.clone();
        Hook::new(move || compact(&etcd))
    };
    let (before, during) = (compacting(), compacting());
    let rig = Rig::singles([&*etcd], |faults| {
        faults.before_save = Some(before);
        faults.save_rate = Some(1 << 20);
        faults.when_served = Some((1 << 20, during));
    });
    let outcome = rig.run(&["--out", "x.db", "--hash-after", "0s"]).code(0);
    outcome.says("members: not comparable").says("has compacted revision").leaves_only(&["x.db"]);
}

#[test]
fn a_slow_copy_asks_during_the_copy_and_again_at_the_files_own_revision() {
    let etcd = own();
    let writing = Hook::new({
        let etcd = etcd.clone();
        move || drop(etcd.ctl(&["put", "/registry/later", "x"]))
    });
    let rig = Rig::singles([&*etcd], |faults| {
        faults.before_save = Some(writing);
        faults.save_rate = Some(2 << 20);
    });
    rig.run(&["--out", "x.db", "--hash-after", "100ms"]).code(0).says("members: 1 of 1 agree");
    let asked = asked(&rig);
    let revisions: Vec<u64> = asked.iter().map(|(_, revision)| *revision).collect();
    let own = status(&rig, "x.db")["revision"].as_u64().unwrap();
    assert_eq!(revisions, [own - 1, own]);
}

/// The snapshot is the only copy, whatever keeps it from being compared.
#[test]
fn a_file_that_cannot_be_read_for_the_comparison_is_kept() {
    let rig = Rig::with(|faults| faults.member("cp1").slow_hash = Some(Duration::from_secs(3)));
    let running = rig.start(&["--out", "x.db"]).until(|rig| !asked(rig).is_empty() && rig.cluster.left() == (0, 0, 0));
    let entries = std::fs::read_dir(rig.directory.path()).unwrap().flatten();
    let part = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(".part")).unwrap();
    std::fs::OpenOptions::new().write(true).open(part).unwrap().set_len(4096).unwrap();
    let outcome = running.end().code(1).says("cannot check the snapshot: cannot read the snapshot");
    outcome.says("it is kept as x.db.unverified").leaves_only(&["x.db.unverified"]);
}

#[test]
fn an_interruption_while_a_member_is_asked_leaves_nothing() {
    let rig = Rig::with(|faults| faults.member("cp1").slow_hash = Some(Duration::from_secs(60)));
    let running = rig.start(&["--out", "x.db"]).until(|rig| !asked(rig).is_empty() && rig.cluster.left() == (0, 0, 0));
    let outcome = running.signal("INT").end().code(130).says("the snapshot was not verified and is deleted");
    assert!(!outcome.stderr.contains("Removing the job"), "{}", outcome.stderr);
    outcome.leaves_only(&[]);
}

#[test]
fn a_file_is_compared_with_the_members_of_today_where_they_still_know_its_revision() {
    let rig = Rig::singles(one_odd(), |_| ());
    rig.run(&["--out", "right.db", "--member", "cp1", "--verify", "structure"]).code(0);
    rig.run(&["--out", "wrong.db", "--member", "cp3", "--verify", "structure"]).code(0);
    let outcome = rig.run(&["verify", "right.db", "--against-cluster", "-o", "json"]).code(4);
    assert_eq!(verified(&outcome), ["verified", "verified", "member differs"]);
    outcome.says("member cp3 (pod kube-system/etcd-cp3) holds other data than right.db and the other members");
    let outcome = rig.run(&["verify", "wrong.db", "--against-cluster", "-o", "json"]).code(4);
    assert_eq!(verified(&outcome), ["verified", "verified", "differs"]);
    outcome.says("wrong.db differs from the data of the members: 1 of 3 agree at revision");

    let etcd = own();
    let rig = Rig::singles([&*etcd], |_| ());
    rig.run(&["--out", "x.db"]).code(0);
    let outcome = rig.run(&["verify", "x.db", "--against-cluster", "-o", "json"]).code(0);
    assert_eq!(verified(&outcome), ["verified", "verified", "verified"]);
    compact(&etcd);
    let outcome = rig.run(&["verify", "x.db", "--against-cluster", "-o", "json"]).code(0);
    assert_eq!(verified(&outcome), ["verified", "verified", "not comparable"]);
    outcome.says("warning: cannot compare x.db with the members").says("has compacted revision");
}
