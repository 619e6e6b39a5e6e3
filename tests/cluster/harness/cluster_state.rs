//! What is on the cluster beside the cluster itself: it must be the same after a scenario as before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, outcome};

#[derive(Debug, PartialEq, Eq)]
pub struct ClusterState {
    jobs: BTreeSet<String>,
    pods: BTreeSet<String>,
    held: BTreeSet<String>,
}

impl ClusterState {
    pub fn of(cluster: &Cluster) -> Self {
        ClusterState::try_of(cluster).unwrap_or_else(|error| panic!("cannot read the state of the cluster: {error}"))
    }

    fn try_of(cluster: &Cluster) -> Result<Self, String> {
        let names = |kind: &str| -> Result<BTreeSet<String>, String> {
            let path = "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
            Ok(cluster.try_kubectl(&["get", kind, "-A", "-o", path])?.lines().map(str::to_owned).collect())
        };
        // On another user's cluster others come and go.
        let ours = |name: &String| cluster.is_rig() || name.contains("etcd-backup");
        let keep = |names: BTreeSet<String>| names.into_iter().filter(ours).collect();
        Ok(ClusterState { jobs: keep(names("jobs")?), pods: keep(names("pods")?), held: held(cluster)? })
    }

    /// Fails unless the cluster comes back to this. The plugin's own objects must be deleted as soon as
    /// the cluster can delete a pod.
    pub fn must_be_all(&self, cluster: &Cluster) {
        let start = Instant::now();
        loop {
            let now = ClusterState::try_of(cluster);
            if now.as_ref() == Ok(self) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "before: {self:?}\nafter: {now:?}");
            std::thread::sleep(Duration::from_millis(300));
        }
        let entries = std::fs::read_dir(cluster.directory()).into_iter().flatten().flatten();
        let parts: Vec<_> =
            entries.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().ends_with(".part")).collect();
        assert!(parts.is_empty(), "partial files are left here: {parts:?}");
    }
}

/// What the nodes hold open: connections to etcd whose other end is neither an etcd nor an API server, streams
/// from the workstation, and etcdctl. The plugin has ended, so only they can tell what it left open.
fn held(cluster: &Cluster) -> Result<BTreeSet<String>, String> {
    let mut held = BTreeSet::new();
    for node in cluster.all_nodes() {
        let mut ss = node.in_network("ss");
        ss.args(["-Htnp", "state", "established"]);
        let table = outcome(ss.output().expect("ss starts"))?;
        for line in table.lines() {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(remote)) = (columns.get(2), columns.get(3)) else { continue };
            let to_etcd =
                remote.ends_with(":2379") && !line.contains("(\"kube-apiserver\"") && !line.contains("(\"etcd\"");
            if to_etcd || remote.contains("10.207.0.1]:") || remote.starts_with("10.207.0.1:") {
                held.insert(format!("{}: {local} to {remote}", node.name));
            }
        }
        // In every container of the node, too.
        if let Ok(processes) = node.shell("pidof etcdctl") {
            held.insert(format!("{}: etcdctl {processes}", node.name));
        }
    }
    Ok(held)
}

/// Directories on the nodes that the kubelet has yet to remove, by the scenario that made them.
#[derive(Default)]
pub struct PendingCleanups(BTreeMap<String, String>);

impl PendingCleanups {
    pub fn note(&mut self, cluster: &Cluster, scenario: &str) {
        for node in cluster.all_nodes() {
            for directory in node.job_directories() {
                self.0.entry(format!("{}:{directory}", node.name)).or_insert_with(|| scenario.to_owned());
            }
        }
    }

    /// Those that are still there after the time in which the kubelet removes them.
    pub fn settle(self, cluster: &Cluster) -> Vec<(String, String)> {
        let start = Instant::now();
        loop {
            let there = |name: &String| {
                cluster.all_nodes().iter().any(|node| {
                    node.job_directories().iter().any(|directory| *name == format!("{}:{directory}", node.name))
                })
            };
            let left: Vec<_> =
                self.0.iter().filter(|(name, _)| there(name)).map(|(name, by)| (by.clone(), name.clone())).collect();
            if left.is_empty() || start.elapsed() > Duration::from_secs(180) {
                return left;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
