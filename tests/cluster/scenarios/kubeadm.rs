//! A control plane as kubeadm makes it: static pods, etcd's image without a shell.

use crate::harness::cluster::Cluster;
use crate::harness::{Needs, Scenario, scenario};

pub const SCENARIOS: &[Scenario] = &[
    scenario("kubeadm: one member is taken without a question", Needs::Any, one_member),
    scenario("kubeadm: the document of -o json is true", Needs::Any, document),
    scenario("kubeadm: --out - is the snapshot and nothing else", Needs::Any, standard_output),
];

fn one_member(cluster: &Cluster) {
    cluster
        .backup(&[])
        .run()
        .says("Verified  transport: sha-256 matches")
        .says("Etcd successfully backed up to")
        .proven();
}

fn document(cluster: &Cluster) {
    let outcome = cluster.backup(&["-o", "json", "--quiet"]).run().code(0);
    let document: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("standard output is JSON");
    let size = std::fs::metadata(&outcome.file).expect("the file is there").len();
    assert_eq!(document["sizeBytes"], size);
    let uid = cluster.kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(document["cluster"]["uid"], uid.as_str());
    let nodes = cluster.etcd_nodes();
    assert!(nodes.iter().any(|node| document["member"]["node"] == node.as_str()), "{document}");
    assert_eq!(document["warnings"], serde_json::json!([]), "{document}");
    let sum = std::process::Command::new("sha256sum").arg(&outcome.file).output().expect("sha256sum starts");
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    assert_eq!(document["sha256"].as_str(), sum.split_whitespace().next());
    outcome.proven();
}

fn standard_output(cluster: &Cluster) {
    let file = cluster.file("stream.db");
    let script = format!("set -o pipefail; kubectl etcd-backup --quiet --out - | cat > {}", file.display());
    let status = cluster.workstation("bash").args(["-c", &script]).status().expect("bash starts");
    assert!(status.success(), "the pipe ended with {status}");
    cluster.proven_file(&file);
}
