//! What breaks while a backup runs. Either the snapshot arrives nevertheless, or the error says why not, and nothing is left.

use std::time::{Duration, Instant};

use crate::harness::backup::Outcome;
use crate::harness::cluster::{Cluster, PATIENCE, until};
use crate::harness::restore::Truth;
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

/// Enough for a copy of some seconds at `SPEED`.
const MEGABYTES: usize = 60;
const SPEED: u32 = 40;
const UNDER_WAY: u64 = 5_000_000;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("faults: the API server is killed while copying", Needs::One, api_server_killed),
        scenario("faults: the kubelet is restarted while copying", Needs::One, kubelet_restarted),
        scenario("faults: the node's network is cut for 10 s", Needs::One, cut_for_a_while),
        scenario("faults: the node's network is cut for good", Needs::One, cut_for_good),
        scenario("faults: the job is deleted by another user", Needs::One, job_deleted),
        scenario("faults: the client is killed", Needs::One, client_killed),
        scenario("faults: Ctrl-C while copying", Needs::One, interrupted),
        scenario("faults: the copy takes longer than the TTL", Needs::One, longer_than_the_ttl),
        scenario("faults: the member is killed while it is saved", Needs::Three, member_killed),
        scenario("faults: the API server's member is killed while copying", Needs::Three, own_member_killed),
        scenario("faults: two of three members are dead", Needs::Three, quorum_lost),
    ]
}

fn api_server_killed(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&["-v=2"]).start().until_arrived(UNDER_WAY);
    node.kill("kube-apiserver");
    let outcome = running.end();
    drop(slowed);
    cluster.must_be_healthy();
    must_have_paused(&outcome);
    outcome.verified();
}

fn kubelet_restarted(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&["-v=2"]).start().until_arrived(UNDER_WAY);
    node.restart_kubelet();
    let outcome = running.end();
    drop(slowed);
    must_have_paused(&outcome);
    outcome.verified();
}

/// Else it was not the copy that was disturbed.
fn must_have_paused(outcome: &Outcome<'_>) {
    let mut pauses = outcome.said.lines().filter(|line| line.contains("the copy pauses"));
    let in_the_middle = |line: &str| line.contains("offset=") && !line.contains("offset=0 ");
    assert!(pauses.any(in_the_middle), "the copy was not interrupted:\n{}", outcome.said);
}

fn cut_for_a_while(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&[]).start().until_arrived(UNDER_WAY);
    let cut = node.cut_off();
    // What was on its way is here a moment later; then nothing comes.
    std::thread::sleep(Duration::from_secs(1));
    let arrived = running.arrived();
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(running.arrived(), arrived, "the network was not cut");
    drop(cut);
    let outcome = running.end();
    drop(slowed);
    outcome.verified();
}

fn cut_for_good(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED);
    let words = ["--stall-timeout", "10s", "--request-timeout", "5s", "--job-ttl", "15s"];
    let running = cluster.backup(&words).may_leave_its_job().start().until_arrived(UNDER_WAY);
    let cut = node.cut_off();
    let outcome = running.end();
    drop(cut);
    drop(slowed);
    // The job expires: that is checked after every scenario.
    outcome.code(1).without_file().says("cannot delete job ").within(Duration::from_secs(90));
}

fn job_deleted(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let _slowed = node.slowed_to(SPEED);
    // A short TTL is extended often, so the run notices before the kubelet has removed the file. Else the copy may end
    // well before that, which is not a fault.
    let running = cluster.backup(&["--job-ttl", "10s"]).start().until_arrived(UNDER_WAY);
    cluster.kubectl(&["-n", "kube-system", "delete", "jobs", "-l", "app.kubernetes.io/name=etcd-backup"]);
    running.end().code(1).without_file().says("was deleted while the snapshot was taken");
}

fn client_killed(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let _slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&["--job-ttl", "10s"]).start().until_arrived(UNDER_WAY);
    let outcome = running.signal("KILL").end().code(None);
    // The partial file stays here, and everything on the cluster expires.
    let name = outcome.file.file_name().expect("a name").to_string_lossy().into_owned();
    for entry in std::fs::read_dir(cluster.directory()).expect("a directory").flatten() {
        if entry.file_name().to_string_lossy().contains(&name) {
            std::fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
    assert!(!jobs(cluster).is_empty(), "the job was deleted before its TTL ended");
}

fn interrupted(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let _slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&[]).start().until_arrived(UNDER_WAY);
    running.signal("INT").end().code(130).without_file();
    assert!(jobs(cluster).is_empty(), "the job is still there");
}

fn longer_than_the_ttl(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED / 2);
    let begun = Instant::now();
    let running = cluster.backup(&["--job-ttl", "6s"]).start().until_arrived(1_000_000);
    // The kubelet keeps the file longer than the job, so a copy that ends well does not say that the TTL was extended.
    std::thread::sleep(Duration::from_secs(14).saturating_sub(begun.elapsed()));
    assert!(!jobs(cluster).is_empty(), "the job was deleted after its first TTL");
    let outcome = running.end().code(0);
    drop(slowed);
    assert!(outcome.took > Duration::from_secs(15), "the copy was not slow: {:?}", outcome.took);
    outcome.verified();
}

fn jobs(cluster: &Cluster) -> String {
    cluster.kubectl(&["-n", "kube-system", "get", "jobs", "-o", "name"])
}

/// Stopped when etcdctl has begun to write, so that it cannot be done before the kill: half a snapshot cannot be used.
fn member_killed(cluster: &Cluster) {
    cluster.fill(200);
    let node = cluster.node("cp2");
    let running = cluster.backup(&["--member", "cp2"]).start();
    let begun = || {
        node.job_directories().iter().any(|directory| {
            let part = node.path("var/log/pods").join(directory).join("snapshot.db.part");
            std::fs::metadata(part).is_ok_and(|part| part.len() > 1_000_000)
        })
    };
    let limit = Instant::now() + PATIENCE;
    while !begun() {
        assert!(Instant::now() < limit, "etcdctl does not begin to write\n{}", running.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    node.signal("etcd", "STOP");
    let woken = Undo::by(|| drop(node.shell("kill -CONT $(pidof etcd)")));
    node.kill("etcd");
    drop(woken);
    running.end().code(1).without_file().says("etcdctl failed on the node: ");
    cluster.must_be_healthy();
    // The next one finds it well again.
    cluster.backup(&["--member", "cp2"]).run().verified();
}

fn own_member_killed(cluster: &Cluster) {
    let node = cluster.node("cp1");
    cluster.fill(MEGABYTES);
    let slowed = node.slowed_to(SPEED);
    let running = cluster.backup(&["--member", "cp2"]).start().until_arrived(UNDER_WAY);
    node.kill("etcd");
    let outcome = running.end();
    drop(slowed);
    cluster.must_be_healthy();
    outcome.verified();
}

/// The API server keeps its state in these very members: without them it cannot create the job, and that is said.
fn quorum_lost(cluster: &Cluster) {
    let manifest = "etc/kubernetes/manifests/etcd.yaml";
    let nodes = [cluster.node("cp2"), cluster.node("cp3")];
    let _undo: Vec<_> = nodes.iter().map(|node| node.without_manifest(manifest)).collect();
    until(PATIENCE, "two members are dead", || nodes.iter().all(|node| node.shell("pidof etcd").is_err()));
    // A moment later it is the API server that says so.
    let limit = Instant::now() + PATIENCE;
    let said = loop {
        let outcome = cluster.backup(&["--request-timeout", "10s"]).may_leave_its_job().run().code(1).without_file();
        let outcome = outcome.within(Duration::from_secs(120));
        if outcome.said.contains("has lost its etcd, so nothing can be done through it") {
            break outcome.said;
        }
        assert!(Instant::now() < limit, "it does not say what is wrong:\n{}", outcome.said);
    };
    // The survivor is saved on its own node, with the very words of the hint. There is no crictl on the rig's nodes.
    let survivor = cluster.node("cp1");
    let (_, words) = said.split_once("etcdctl --endpoints=").expect("it says how to save the survivor");
    let words = format!("etcdctl --endpoints={}", words.lines().next().unwrap_or_default());
    let since = Truth::member(&survivor).revision(cluster).expect("the survivor answers");
    survivor.must(&format!("ctr -n k8s.io tasks exec --exec-id e2e $(ctr -n k8s.io tasks ls | awk -v p=$(pidof etcd) '$2 == p {{ print $1 }}') {words}"));
    let saved = survivor.path("var/lib/etcd/snapshot.db");
    cluster.verified_file(&saved, &Truth::member(&survivor), since);
}
