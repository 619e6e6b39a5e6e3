//! The client certificates that etcd may accept, in the order in which they are tried.
//!
//! etcd does not accept every server certificate from a client, so there are several candidates. It always accepts the
//! last one, which the API server uses. This module handles paths alone; no key leaves its node.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::mounts::{Mount, covers, mounts_for_paths};
use crate::etcd::config::EtcdConfig;
use crate::etcd::member::Member;
use crate::etcd::options::PodOverrides;

/// Paths of certificates in a container, and the mounts through which another pod can read them.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    /// Where the paths come from, for status lines and errors.
    pub origin: &'static str,
    /// etcd's CA certificate.
    pub cacert: Option<String>,
    /// Client certificate and key; `None` for an etcd that does not ask for one.
    pub client_cert: Option<(String, String)>,
    /// The paths are in the etcd container, so a command there can use them.
    pub usable_in_etcd_container: bool,
    /// The mounts that another pod needs to read the files; `None` if no other pod can mount their volume.
    pub mounts: Option<Vec<Mount>>,
}

/// Returns all candidates for `member`, best first. `api_servers` are the kube-apiserver pods of the same node.
pub fn candidates(member: &Member, api_servers: &[Pod], overrides: &PodOverrides) -> Vec<Credentials> {
    let etcd = ContainerSource { pod: &member.pod, container: &member.container, usable_in_etcd_container: true };
    let setting = |name: &str| member.config.get(name).map(str::to_owned);
    let cacert = || setting("trusted-ca-file");
    let mut found = Vec::new();

    if let (Some(cert), Some(key)) = (&overrides.cert, &overrides.key) {
        let cacert = overrides.cacert.clone().or_else(cacert);
        return vec![etcd.credentials("the flags --pod-cert and --pod-key", cacert, Some((cert.clone(), key.clone())))];
    }
    if member.local_endpoint().starts_with("http://") && overrides.endpoint.is_none() {
        return vec![etcd.credentials("none, because etcd serves plain http", None, None)];
    }

    for container in member.pod.spec.iter().flat_map(|spec| &spec.containers) {
        let variable = |name: &str| {
            let variable = container.env.iter().flatten().find(|variable| variable.name == name)?;
            variable.value.clone().filter(|value| !value.is_empty() && !value.contains('$'))
        };
        if let (Some(cert), Some(key)) = (variable("ETCDCTL_CERT"), variable("ETCDCTL_KEY")) {
            let source = ContainerSource {
                pod: &member.pod,
                container,
                usable_in_etcd_container: container.name == member.container.name,
            };
            found.push(source.credentials(
                "ETCDCTL_* of the etcd pod",
                variable("ETCDCTL_CACERT").or_else(cacert),
                Some((cert, key)),
            ));
        }
    }
    if let (Some(cert), Some(key)) = (setting("cert-file"), setting("key-file")) {
        found.push(etcd.credentials("etcd's server certificate", cacert(), Some((cert, key))));
    }
    if let (Some(cert), Some(key)) = (setting("peer-cert-file"), setting("peer-key-file")) {
        let cacert = cacert().or_else(|| setting("peer-trusted-ca-file"));
        found.push(etcd.credentials("etcd's peer certificate", cacert, Some((cert, key))));
    }
    found.extend(known_layout_credentials(member, &etcd));
    for api_server in api_servers {
        found.extend(api_server_credentials(api_server));
    }
    for credentials in &mut found {
        credentials.cacert = overrides.cacert.clone().or(credentials.cacert.take());
    }
    found
}

/// Names of CA, certificate and key in known distributions, for pods whose flags do not name them: those with
/// `--config-file` and an image that cannot print the file.
const KNOWN_FILES: &[(&str, &str, &str)] = &[
    // RKE2 mounts each file separately.
    ("server-ca.crt", "server-client.crt", "server-client.key"),
    // kubeadm, kind, minikube.
    ("ca.crt", "healthcheck-client.crt", "healthcheck-client.key"),
    ("ca.crt", "server.crt", "server.key"),
];

/// Directories of these files in known distributions.
const KNOWN_DIRECTORIES: &[&str] =
    &["/etc/kubernetes/pki/etcd", "/var/lib/minikube/certs/etcd", "/var/lib/rancher/rke2/server/tls/etcd"];

fn known_layout_credentials(member: &Member, etcd: &ContainerSource<'_>) -> Vec<Credentials> {
    if member.config.get("cert-file").is_some() {
        return Vec::new();
    }
    let mounts = || member.container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str());
    let mut found = Vec::new();
    for (cacert, cert, key) in KNOWN_FILES {
        let mounted_file = |name: &str| mounts().find(|path| path.rsplit('/').next() == Some(name)).map(str::to_owned);
        if let (Some(cert), Some(key)) = (mounted_file(cert), mounted_file(key)) {
            found.push(etcd.credentials(
                "the known files of this distribution",
                mounted_file(cacert),
                Some((cert, key)),
            ));
        }
    }
    for directory in KNOWN_DIRECTORIES {
        if mounts().any(|path| covers(path, directory) && path != "/") {
            for (cacert, cert, key) in KNOWN_FILES {
                let path = |name: &str| format!("{directory}/{name}");
                found.push(etcd.credentials(
                    "the known files of this distribution",
                    Some(path(cacert)),
                    Some((path(cert), path(key))),
                ));
            }
        }
    }
    found
}

/// Returns the client certificate of a kube-apiserver pod for etcd (`--etcd-certfile` and others).
fn api_server_credentials(pod: &Pod) -> Option<Credentials> {
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == "kube-apiserver")?;
    let settings = EtcdConfig::from_container(container);
    let client_cert = (settings.get("etcd-certfile")?.to_owned(), settings.get("etcd-keyfile")?.to_owned());
    let source = ContainerSource { pod, container, usable_in_etcd_container: false };
    Some(source.credentials(
        "the API server's certificate for etcd",
        settings.get("etcd-cafile").map(str::to_owned),
        Some(client_cert),
    ))
}

/// The container whose file system the paths belong to.
struct ContainerSource<'p> {
    pod: &'p Pod,
    container: &'p Container,
    usable_in_etcd_container: bool,
}

impl ContainerSource<'_> {
    fn credentials(
        &self,
        origin: &'static str,
        cacert: Option<String>,
        client_cert: Option<(String, String)>,
    ) -> Credentials {
        let mut paths: Vec<&str> = cacert.iter().map(String::as_str).collect();
        if let Some((cert, key)) = &client_cert {
            paths.extend([cert.as_str(), key.as_str()]);
        }
        let mounts = mounts_for_paths(self.pod, self.container, &paths);
        Credentials { origin, cacert, client_cert, usable_in_etcd_container: self.usable_in_etcd_container, mounts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;
    use serde_json::json;

    const KUBEADM: &[&str] = &[
        "etcd",
        "--listen-client-urls=https://127.0.0.1:2379",
        "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
        "--key-file=/etc/kubernetes/pki/etcd/server.key",
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
        "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
    ];

    fn api_server() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "kube-apiserver-cp1"},
            "spec": {
                "containers": [{
                    "name": "kube-apiserver",
                    "command": ["kube-apiserver", "--etcd-cafile=/pki/etcd/ca.crt", "--etcd-certfile=/pki/client.crt", "--etcd-keyfile=/pki/client.key"],
                    "volumeMounts": [{"name": "pki", "mountPath": "/pki"}]
                }],
                "volumes": [{"name": "pki", "hostPath": {"path": "/etc/kubernetes/pki"}}]
            }
        }))
        .expect("a pod")
    }

    #[test]
    fn the_order_is_server_peer_api_server() {
        let member = Member::from_pod(pod("etcd-cp1", KUBEADM, true)).expect("it runs etcd");
        let found = candidates(&member, &[api_server()], &PodOverrides::default());
        let certs: Vec<_> =
            found.iter().filter_map(|found| found.client_cert.as_ref()).map(|pair| pair.0.as_str()).collect();
        assert_eq!(
            certs,
            ["/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/peer.crt", "/pki/client.crt"]
        );
        assert!(!found[2].usable_in_etcd_container);
    }

    #[test]
    fn only_the_certificates_volume_is_mounted_and_read_only() {
        let member = Member::from_pod(pod("etcd-cp1", KUBEADM, true)).expect("it runs etcd");
        let mounts =
            candidates(&member, &[], &PodOverrides::default()).remove(0).mounts.expect("a hostPath can be mounted");
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].mount.name, "etcd-certs");
        assert_eq!(mounts[0].mount.read_only, Some(true));
    }

    #[test]
    fn plain_http_needs_none() {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd", "--listen-client-urls=http://127.0.0.1:2379"], true))
            .expect("it runs etcd");
        let found = candidates(&member, &[api_server()], &PodOverrides::default());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].client_cert.as_ref(), found[0].mounts.as_deref()), (None, Some(&[][..])));
    }

    #[test]
    fn variables_of_etcdctl_come_first() {
        let mut pod = pod("etcd-cp1", KUBEADM, true);
        let container = &mut pod.spec.as_mut().expect("it has one").containers[0];
        container.env = serde_json::from_value(json!([
            {"name": "ETCDCTL_CERT", "value": "/etc/kubernetes/pki/etcd/c.crt"},
            {"name": "ETCDCTL_KEY", "value": "/etc/kubernetes/pki/etcd/c.key"}
        ]))
        .expect("variables");
        let member = Member::from_pod(pod).expect("it runs etcd");
        assert_eq!(candidates(&member, &[], &PodOverrides::default())[0].origin, "ETCDCTL_* of the etcd pod");
    }

    #[test]
    fn a_volume_of_the_pod_alone_or_of_the_whole_node_is_not_mounted() {
        for volume in [json!({"emptyDir": {}}), json!({"hostPath": {"path": "/"}})] {
            let mut pod = pod("etcd-cp1", KUBEADM, true);
            let spec = pod.spec.as_mut().expect("it has one");
            let mut named = volume;
            named["name"] = json!("etcd-certs");
            spec.volumes = Some(vec![serde_json::from_value(named).expect("a volume")]);
            let member = Member::from_pod(pod).expect("it runs etcd");
            assert!(candidates(&member, &[], &PodOverrides::default()).iter().all(|found| found.mounts.is_none()));
        }
    }

    #[test]
    fn given_paths_are_the_only_candidate() {
        let member = Member::from_pod(pod("etcd-cp1", KUBEADM, true)).expect("it runs etcd");
        let given = PodOverrides {
            cert: Some("/etc/kubernetes/pki/etcd/x.crt".to_owned()),
            key: Some("/etc/kubernetes/pki/etcd/x.key".to_owned()),
            ..PodOverrides::default()
        };
        assert_eq!(candidates(&member, &[api_server()], &given).len(), 1);
    }

    #[test]
    fn files_mounted_separately_are_found_without_flags() {
        let mut pod = pod("etcd-n1", &["etcd", "--config-file=/config"], true);
        let spec = pod.spec.as_mut().expect("it has one");
        spec.containers[0].volume_mounts = serde_json::from_value(json!([
            {"name": "a", "mountPath": "/tls/etcd/server-client.crt"},
            {"name": "b", "mountPath": "/tls/etcd/server-client.key"},
            {"name": "c", "mountPath": "/tls/etcd/server-ca.crt"}
        ]))
        .expect("mounts");
        spec.volumes = serde_json::from_value(json!([
            {"name": "a", "hostPath": {"path": "/tls/etcd/server-client.crt"}},
            {"name": "b", "hostPath": {"path": "/tls/etcd/server-client.key"}},
            {"name": "c", "hostPath": {"path": "/tls/etcd/server-ca.crt"}}
        ]))
        .expect("volumes");
        let member = Member::from_pod(pod).expect("it runs etcd");
        let found = candidates(&member, &[], &PodOverrides::default());
        assert_eq!(found[0].cacert.as_deref(), Some("/tls/etcd/server-ca.crt"));
        assert_eq!(found[0].mounts.as_ref().map(Vec::len), Some(3));
    }
}
