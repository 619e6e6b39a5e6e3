//! What every scenario ends with: the file is restored with etcd's own tool, an etcd is booted on it, and
//! each key, value and revision in it is compared with the cluster's own at the same revision.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::cluster::{Cluster, outcome, until};
use super::node::Node;

/// What the cluster's etcd is compared by.
#[derive(Clone)]
pub enum Truth {
    /// An etcd in the network of a rig's node.
    Member {
        network: String,
        /// As the rig's tool takes it.
        etcd: String,
        /// Whose etcd and etcdutl restore it: `3.4` to `3.7`.
        version: &'static str,
    },
    /// `etcdctl get` in an etcd pod of a cluster that cannot be reached otherwise.
    Exec,
}

impl Truth {
    /// The node's own member.
    pub fn member(node: &Node) -> Self {
        Truth::Member { network: node.network(), etcd: node.etcd(), version: "3.6" }
    }

    /// The revision that it is at; `None` when it does not answer.
    pub fn revision(&self, cluster: &Cluster) -> Option<u64> {
        match self {
            Truth::Member { network, etcd, .. } => {
                let told = inside(Some(network), &cluster.tool()).args(["revision", etcd]).output();
                outcome(told.expect("the tool starts")).ok()?.parse().ok()
            }
            Truth::Exec => {
                let told = etcdctl_get(cluster).args(["x", "-w", "json"]).output().expect("kubectl starts");
                let told: serde_json::Value = serde_json::from_slice(&told.stdout).ok()?;
                told["header"]["revision"].as_u64()
            }
        }
    }

    /// The number of keys, all of which are equal. The file must not be older than the revision `since`.
    pub fn compare(&self, cluster: &Cluster, file: &Path, since: u64) -> u64 {
        let (network, version) = match self {
            Truth::Member { network, version, .. } => (Some(network.as_str()), *version),
            Truth::Exec => (None, "3.6"),
        };
        let restored = Restored::boot(cluster, file, network, version);
        let revision: u64 = restored.revision.parse().expect("a number");
        assert!(revision >= since, "the snapshot is stale: revision {revision}, and the run began at {since}");
        let etcd = match self {
            Truth::Member { etcd, .. } => etcd.clone(),
            Truth::Exec => written_by_exec(cluster, &restored).display().to_string(),
        };
        let mut tool = inside(network, &cluster.tool());
        let told = outcome(tool.args(["compare", &etcd, &restored.url]).output().expect("the tool starts"));
        let told = told.unwrap_or_else(|error| panic!("the snapshot is not what the cluster holds: {error}"));
        let told: serde_json::Value = serde_json::from_str(&told).expect("the tool writes JSON");
        told["keys"].as_u64().expect("it counts")
    }
}

fn inside(network: Option<&str>, program: &str) -> Command {
    match network {
        None => Command::new(program),
        Some(network) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{network}")).arg(program);
            command
        }
    }
}

/// An etcd on the data of a snapshot.
struct Restored {
    url: String,
    revision: String,
    process: Child,
    _data: tempfile::TempDir,
}

impl Restored {
    fn boot(cluster: &Cluster, file: &Path, network: Option<&str>, version: &str) -> Self {
        static PORT: AtomicU16 = AtomicU16::new(23000);
        let data = tempfile::tempdir_in(cluster.directory()).expect("a directory");
        let tools = cluster.cache.join(format!("bin/etcd-{version}"));
        // etcd 3.4 had no etcdutl.
        let tool = if version == "3.4" { "etcdctl" } else { "etcdutl" };
        let mut restore = Command::new(tools.join(tool));
        restore.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(file);
        restore.arg("--data-dir").arg(data.path().join("restored"));
        if let Err(error) = outcome(restore.output().expect("etcdutl starts")) {
            panic!("{tool} does not restore {}: {error}", file.display());
        }
        let port = PORT.fetch_add(2, Ordering::Relaxed);
        let (url, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
        let mut etcd = inside(network, &tools.join("etcd").display().to_string());
        etcd.args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer]);
        etcd.arg("--data-dir").arg(data.path().join("restored"));
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = etcd.spawn().expect("etcd starts");
        let mut restored = Restored { url, revision: String::new(), process, _data: data };
        until(Duration::from_secs(90), "the restored etcd answers", || {
            let mut tool = inside(network, &cluster.tool());
            let told = outcome(tool.args(["revision", &restored.url]).output().expect("the tool starts"));
            restored.revision = told.unwrap_or_default();
            !restored.revision.is_empty()
        });
        restored
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `etcdctl get` in the etcd pod, without what it is to get.
fn etcdctl_get(cluster: &Cluster) -> Command {
    let pods = ["-n", "kube-system", "get", "pods", "-l", "component=etcd", "-o", "jsonpath={.items[0].metadata.name}"];
    let pod = cluster.kubectl(&pods);
    let words =
        cluster.kubectl(&["-n", "kube-system", "get", "pod", &pod, "-o", "jsonpath={.spec.containers[0].command}"]);
    let words: Vec<String> = serde_json::from_str(&words).expect("a list of words");
    let flag = |name: &str| {
        let value = words.iter().find_map(|word| word.strip_prefix(name));
        value.unwrap_or_else(|| panic!("etcd has no {name} in its command")).to_owned()
    };
    let mut command = cluster.workstation("kubectl");
    command.args(["-n", "kube-system", "exec", &pod, "--", "etcdctl", "--endpoints=https://127.0.0.1:2379"]);
    command.arg(format!("--cacert={}", flag("--trusted-ca-file=")));
    command.arg(format!("--cert={}", flag("--cert-file="))).arg(format!("--key={}", flag("--key-file=")));
    command.arg("get");
    command
}

/// Every key of the cluster at the snapshot's revision, as etcdctl writes it in the etcd pod.
fn written_by_exec(cluster: &Cluster, restored: &Restored) -> PathBuf {
    let path = cluster.file("cluster.json");
    let mut command = etcdctl_get(cluster);
    command.args(["", "--prefix", "-w", "json", "--rev", &restored.revision]);
    command.stdout(std::fs::File::create(&path).expect("a file"));
    assert!(command.status().expect("kubectl starts").success(), "etcdctl get failed");
    path
}
