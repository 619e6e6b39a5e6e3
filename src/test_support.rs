//! Values that the unit tests of several modules need.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// Returns a pod as kubeadm makes it, with the given command line.
pub fn pod(name: &str, command: &[&str], host_network: bool) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "kube-system", "uid": format!("uid-{name}")},
        "spec": {
            "nodeName": "cp1",
            "hostNetwork": host_network,
            "containers": [{
                "name": "etcd",
                "image": "registry.k8s.io/etcd:3.6.8-0",
                "command": command,
                "volumeMounts": [
                    {"name": "etcd-data", "mountPath": "/var/lib/etcd"},
                    {"name": "etcd-certs", "mountPath": "/etc/kubernetes/pki/etcd"}
                ]
            }],
            "volumes": [
                {"name": "etcd-certs", "hostPath": {"path": "/etc/kubernetes/pki/etcd", "type": "DirectoryOrCreate"}},
                {"name": "etcd-data", "hostPath": {"path": "/var/lib/etcd", "type": "DirectoryOrCreate"}}
            ]
        },
        "status": {"podIP": "10.0.0.11", "hostIP": "10.0.0.11"}
    }))
    .expect("a pod")
}
