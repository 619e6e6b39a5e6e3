//! A member whose database is sound and wrong: no checksum of a file shows it, only the comparison with the others does.

use crate::harness::cluster::{Cluster, PATIENCE, until};
use crate::harness::node::Node;
use crate::harness::restore::Truth;
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

/// Of the same length: nothing but the value differs on the disk.
const WRITTEN: &str = "as-it-was-written-0123456789";
const CHANGED: &str = "as-no-one-wrote-it-012345678";

pub fn scenarios() -> Vec<Scenario> {
    vec![scenario("hash check: a member's database was changed on its disk", Needs::Three, changed_on_disk)]
}

fn changed_on_disk(cluster: &Cluster) {
    let odd = cluster.node("cp3");
    let etcdctl = cluster.cache.join("bin/etcd-3.6/etcdctl");
    let pki = "/etc/kubernetes/pki/etcd";
    odd.must(&format!(
        "{} --cacert {pki}/ca.crt --cert {pki}/server.crt --key {pki}/server.key put /e2e/changed-on-disk {WRITTEN}",
        etcdctl.display()
    ));
    // kubeadm's etcd compares itself with the others when it starts, and never again: what goes wrong after that is
    // not noticed. Here it must start with it.
    let checks = odd.edit("etc/kubernetes/manifests/etcd.yaml", |manifest| {
        manifest.lines().filter(|line| !line.contains("InitialCorruptCheck")).map(|line| format!("{line}\n")).collect()
    });
    rewrite(cluster, &odd, WRITTEN, CHANGED);
    // Whatever fails here, the next scenario finds three members that agree.
    let _undo = Undo::by(|| {
        rewrite(cluster, &odd, CHANGED, WRITTEN);
        drop(checks);
        until(PATIENCE, "the member checks itself again", || {
            odd.shell("grep -q InitialCorruptCheck /proc/$(pidof etcd)/cmdline").is_ok()
        });
        must_be_back(cluster, &odd);
    });

    // The others' file is good, and says who is not.
    let outcome = cluster.backup(&["--member", "cp1"]).run().code(4);
    let outcome = outcome.says("structure: ").says("2 of 3 agree at revision").says("cp3 differs at revision");
    let size = std::fs::metadata(&outcome.file).expect("the file has its name").len();
    assert!(size > 0, "the file is empty");
    std::fs::remove_file(&outcome.file).expect("it can be removed");

    // Its own file is intact in itself, and kept apart.
    let outcome = cluster.backup(&["--member", "cp3"]).run().code(4);
    let outcome = outcome.says("the snapshot of member cp3 differs from the data of members cp1 and cp2");
    assert!(!outcome.file.exists(), "the file has the final name");
    let kept =
        outcome.file.with_file_name(format!("{}.unverified", outcome.file.file_name().expect("a name").display()));
    assert!(kept.exists(), "the file was not kept");
    std::fs::remove_file(&kept).expect("it can be removed");
}

/// Changes a value in the member's database while the member is stopped.
fn rewrite(cluster: &Cluster, node: &Node, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let stopped = node.without_manifest("etc/kubernetes/manifests/etcd.yaml");
    until(PATIENCE, "the member is stopped", || node.shell("pidof etcd").is_err());
    let database = "/var/lib/etcd/member/snap/db";
    node.must(&format!(
        "grep -q {from} {database} && LC_ALL=C sed -i 's/{from}/{to}/g' {database} && ! grep -q {from} {database}"
    ));
    drop(stopped);
    must_be_back(cluster, node);
}

fn must_be_back(cluster: &Cluster, node: &Node) {
    until(PATIENCE, "the member is back", || Truth::member(node).revision(cluster).is_some());
    cluster.must_be_healthy();
    // The pod's state is old news; that a command runs in it is not.
    let pod = format!("etcd-{}", node.name);
    until(PATIENCE, "its pod can be reached", || {
        cluster.try_kubectl(&["-n", "kube-system", "exec", &pod, "--", "etcdctl", "version"]).is_ok()
    });
}
