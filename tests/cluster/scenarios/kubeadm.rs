//! A control plane as kubeadm makes it: static pods, etcd's image without a shell.

use crate::harness::cluster::Cluster;
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("kubeadm: one member is taken without a question", Needs::Any, one_member),
        scenario("kubeadm: the document of -o json is true", Needs::Any, document),
        scenario("kubeadm: --out - is the snapshot and nothing else", Needs::Any, standard_output),
        scenario("kubeadm: a connection to etcd, with certificates given", Needs::One, direct),
        scenario("kubeadm: three members, a follower is recommended and taken", Needs::Three, three_members),
        scenario("kubeadm: three members, the one that was named is taken", Needs::Three, named),
        scenario("kubeadm: three members, picked on a terminal", Needs::Three, picked),
        scenario("kubeadm: three members, the prompt is left with Ctrl-C", Needs::Three, left),
    ]
}

fn one_member(cluster: &Cluster) {
    cluster
        .backup(&[])
        .run()
        .says("Verified  checksum: sha-256 matches")
        .says("Etcd successfully backed up to")
        .verified();
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
    outcome.verified();
}

fn standard_output(cluster: &Cluster) {
    let file = cluster.file("stream.db");
    let truth = cluster.truth();
    let since = truth.revision(cluster).expect("etcd answers");
    let script = format!("set -o pipefail; kubectl etcd-backup --quiet --out - | cat > {}", file.display());
    let status = cluster.workstation("bash").args(["-c", &script]).status().expect("bash starts");
    assert!(status.success(), "the pipe ended with {status}");
    cluster.verified_file(&file, &truth, since);
}

/// From files and from a Secret; the job is no longer needed then.
fn direct(cluster: &Cluster) {
    let pki = cluster.node("cp1").path("etc/kubernetes/pki/etcd");
    let file = |name: &str| pki.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("healthcheck-client.crt"), file("healthcheck-client.key"));
    let by_files = cluster
        .backup(&["--etcd-cacert", &ca, "--etcd-cert", &cert, "--etcd-key", &key])
        .run()
        .says("Transport direct");
    by_files.says_nothing_of("Transport node").verified();

    let secret = ["-n", "kube-system", "create", "secret", "generic", "e2e-etcd-client"];
    let entry = |name: &str, path: &str| format!("--from-file={name}={path}");
    let entries = [entry("ca.crt", &ca), entry("tls.crt", &cert), entry("tls.key", &key)];
    let words: Vec<&str> = secret.into_iter().chain(entries.iter().map(String::as_str)).collect();
    cluster.kubectl(&words);
    let _undo = Undo::by(|| {
        let _ = cluster.try_kubectl(&["-n", "kube-system", "delete", "secret", "e2e-etcd-client"]);
    });
    let by_secret = cluster.backup(&["--etcd-cert-secret", "e2e-etcd-client"]).run().says("Transport direct");
    by_secret.says("Secret kube-system/e2e-etcd-client").says_nothing_of("Transport node").verified();
}

/// The node of the leader, and those of the followers.
fn roles(cluster: &Cluster) -> (String, Vec<String>) {
    let status = |node: &str| -> serde_json::Value {
        let pod = format!("etcd-{node}");
        let file = |name: &str| format!("/etc/kubernetes/pki/etcd/{name}");
        let text = cluster.kubectl(&[
            "-n",
            "kube-system",
            "exec",
            &pod,
            "--",
            "etcdctl",
            "--endpoints=https://127.0.0.1:2379",
            "--cacert",
            &file("ca.crt"),
            "--cert",
            &file("server.crt"),
            "--key",
            &file("server.key"),
            "endpoint",
            "status",
            "-w",
            "json",
        ]);
        serde_json::from_str(&text).expect("etcdctl writes JSON")
    };
    let leads = |node: &String| {
        let status = &status(node)[0]["Status"];
        status["leader"] == status["header"]["member_id"]
    };
    let (leader, followers): (Vec<String>, Vec<String>) = cluster.etcd_nodes().into_iter().partition(leads);
    assert_eq!(leader.len(), 1, "one member leads");
    (leader[0].clone(), followers)
}

fn three_members(cluster: &Cluster) {
    let (leader, followers) = roles(cluster);
    let outcome = cluster.backup(&[]).run().says("3 etcd members in kube-system").verified();
    assert!(!outcome.said.contains(&format!("backup on pod etcd-{leader}")), "the leader was taken\n{}", outcome.said);
    let taken = followers.iter().any(|node| outcome.said.contains(&format!("backup on pod etcd-{node}")));
    assert!(taken, "no follower was taken\n{}", outcome.said);
}

fn named(cluster: &Cluster) {
    let (leader, followers) = roles(cluster);
    for node in [&leader, &followers[0], &followers[1]] {
        cluster.backup(&["--member", node]).run().says(&format!("backup on pod etcd-{node}")).verified();
    }
    cluster.backup(&["--member", "cp9"]).run().code(2).without_file();
}

fn picked(cluster: &Cluster) {
    let (leader, _) = roles(cluster);
    let running = cluster.backup(&[]).on_a_terminal().start().until_says("recommended");
    let table = running.said();
    for words in ["Which etcd member should be backed up?", "leader", "follower", "healthy", "3.6.8"] {
        assert!(table.contains(words), "{words} is missing in the prompt:\n{table}");
    }
    // The rows are in the order of the pods' names, and the cursor starts at the recommended one.
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("etcd-cp") && line.contains("healthy")).collect();
    let row =
        |what: &str| rows.iter().position(|row| row.contains(what)).unwrap_or_else(|| panic!("no {what}: {table}"));
    let (from, to) = (row("recommended"), row(&format!("etcd-{leader} ")));
    assert_ne!(from, to, "the leader is not recommended");
    let key = if to > from { "\x1b[B" } else { "\x1b[A" };
    let running = running.types(&key.repeat(from.abs_diff(to)));
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.types("\r").end().says(&format!("backup on pod etcd-{leader}")).verified();
}

fn left(cluster: &Cluster) {
    let running = cluster.backup(&[]).on_a_terminal().start().until_says("recommended");
    running.types("\x03").end().code(130).without_file();
}
