//! etcd in pods of other layouts than kubeadm's, beside the cluster's own: real pods on the same kubelet.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, outcome, until};
use super::restore::Truth;
use super::undo::Undo;

/// How etcd is run. Whatever is not said is as kubeadm does it, at ports of its own.
pub struct Layout {
    pub namespace: &'static str,
    pub name: String,
    pub labels: Value,
    pub image: &'static str,
    /// The image's name in the rig's cache.
    pub archive: &'static str,
    pub version: &'static str,
    pub command: Vec<String>,
    pub env: Vec<Value>,
    /// Name, source, and where it is mounted.
    pub volumes: Vec<(String, Value, String)>,
    pub host_network: bool,
    /// Containers in front of etcd's.
    pub sidecars: Vec<Value>,
    pub stateful_set: bool,
    pub scheme: &'static str,
    pub port: u16,
}

/// Where kubeadm keeps etcd's certificates, on the node and in the container.
pub const PKI: &str = "/etc/kubernetes/pki/etcd";

impl Default for Layout {
    fn default() -> Self {
        Layout {
            namespace: "e2e",
            name: "etcd-cp1".to_owned(),
            labels: json!({"component": "etcd", "tier": "control-plane"}),
            image: "registry.k8s.io/etcd:3.6.8-0",
            archive: "etcd-3.6",
            version: "3.6",
            command: command(&flags(12379, PKI)),
            env: Vec::new(),
            volumes: vec![host_path(PKI, PKI)],
            host_network: true,
            sidecars: Vec::new(),
            stateful_set: false,
            scheme: "https",
            port: 12379,
        }
    }
}

pub fn host_path(on_node: &str, in_container: &str) -> (String, Value, String) {
    let name = format!("v{}", in_container.replace(['/', '.', '_'], "-").to_lowercase());
    (name, json!({"hostPath": {"path": on_node}}), in_container.to_owned())
}

/// The settings of one member with its certificates in `pki`, as kubeadm names and writes them.
pub fn flags(port: u16, pki: &str) -> Vec<(String, String)> {
    let peer = port + 1;
    let file = |name: &str| format!("{pki}/{name}");
    [
        ("advertise-client-urls", format!("https://10.207.0.11:{port}")),
        ("cert-file", file("server.crt")),
        ("client-cert-auth", "true".to_owned()),
        ("data-dir", "/var/lib/etcd".to_owned()),
        ("initial-advertise-peer-urls", format!("https://10.207.0.11:{peer}")),
        ("initial-cluster", format!("cp1=https://10.207.0.11:{peer}")),
        ("key-file", file("server.key")),
        ("listen-client-urls", format!("https://127.0.0.1:{port},https://10.207.0.11:{port}")),
        ("listen-peer-urls", format!("https://10.207.0.11:{peer}")),
        ("name", "cp1".to_owned()),
        ("peer-cert-file", file("peer.crt")),
        ("peer-client-cert-auth", "true".to_owned()),
        ("peer-key-file", file("peer.key")),
        ("peer-trusted-ca-file", file("ca.crt")),
        ("trusted-ca-file", file("ca.crt")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

pub fn command(flags: &[(String, String)]) -> Vec<String> {
    let flags = flags.iter().map(|(name, value)| format!("--{name}={value}"));
    std::iter::once("etcd".to_owned()).chain(flags).collect()
}

/// A running pod, gone at the end.
pub struct EtcdPod<'c> {
    pub truth: Truth,
    _undo: Undo<'c>,
}

impl Cluster {
    /// Runs etcd in this layout and puts keys into it.
    pub fn with_etcd(&self, layout: &Layout) -> EtcdPod<'_> {
        let started = self.with_empty_etcd(layout);
        started.fill(self);
        started
    }

    /// The same without keys, and without waiting for it to serve: it may wait for other members.
    pub fn with_empty_etcd(&self, layout: &Layout) -> EtcdPod<'_> {
        let node = self.node("cp1");
        if !layout.archive.is_empty() {
            node.import(&[layout.archive]);
        }
        // It stays until the rig goes down: to delete one takes longer than the scenario.
        let _ = self.try_kubectl(&["create", "namespace", layout.namespace]);
        let undo = self.with(&layout.manifest().to_string());
        let pod = if layout.stateful_set { format!("{}-0", layout.name) } else { layout.name.clone() };
        let mut address = String::new();
        until(Duration::from_secs(90), "etcd's pod runs", || {
            let path = "jsonpath={.status.phase} {.status.podIP}";
            let told = self.try_kubectl(&["-n", layout.namespace, "get", "pod", &pod, "-o", path]).unwrap_or_default();
            address = told.strip_prefix("Running ").unwrap_or_default().to_owned();
            !address.is_empty()
        });
        if layout.host_network {
            address = "127.0.0.1".to_owned();
        }
        let url = format!("{}://{address}:{}", layout.scheme, layout.port);
        let etcd = if layout.scheme == "http" { url } else { node.etcd_at(&url) };
        EtcdPod { truth: Truth::Member { network: node.network(), etcd, version: layout.version }, _undo: undo }
    }
}

impl EtcdPod<'_> {
    pub fn fill(&self, cluster: &Cluster) {
        let Truth::Member { etcd, .. } = &self.truth else { return };
        let node = cluster.node("cp1");
        until(Duration::from_secs(60), "etcd takes keys", || {
            let output = node.in_network(&cluster.tool()).args(["fill", etcd, "500", "2000"]).output();
            outcome(output.expect("the tool starts")).is_ok()
        });
    }
}

impl Layout {
    fn manifest(&self) -> Value {
        let mut volumes = vec![json!({"name": "data", "emptyDir": {}})];
        let mut mounts = vec![json!({"name": "data", "mountPath": "/var/lib/etcd"})];
        for (name, source, path) in &self.volumes {
            let mut volume = source.clone();
            volume["name"] = json!(name);
            volumes.push(volume);
            mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
        }
        let mut containers = self.sidecars.clone();
        containers.push(json!({
            "name": "etcd", "image": self.image, "command": self.command, "env": self.env,
            "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts,
        }));
        let spec = json!({
            "hostNetwork": self.host_network, "nodeName": "cp1", "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false, "containers": containers, "volumes": volumes,
            "tolerations": [{"operator": "Exists"}],
        });
        if self.stateful_set {
            json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": {
                    "serviceName": self.name, "selector": {"matchLabels": self.labels},
                    "template": {"metadata": {"labels": self.labels}, "spec": spec},
                },
            })
        } else {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels}, "spec": spec,
            })
        }
    }
}
