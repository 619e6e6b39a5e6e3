//! The client certificates that may open etcd, in the order in which they are tried.
//!
//! A server's certificate is not always a client's, so there are several candidates; the last one, the pair that the
//! API server itself uses for etcd, is accepted by definition. Only paths are handled here: no key ever leaves its
//! node.

use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};

use crate::etcd::Member;
use crate::etcd::PodOverrides;

/// Paths of certificates in a container, and the mounts through which another container can read them.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    /// Where they come from, for the talk and for errors.
    pub origin: &'static str,
    /// CA certificate of etcd.
    pub cacert: Option<String>,
    /// Client certificate and its key; `None` for an etcd that asks for none.
    pub client_cert: Option<(String, String)>,
    /// Lies in the etcd container itself, so a command there can use it.
    pub usable_in_etcd_container: bool,
    /// What must be mounted to read the files elsewhere; `None` when they lie in a volume that no other pod can mount.
    pub mounts: Option<Vec<Mount>>,
}

/// A volume of a pod and where its container mounts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    /// The volume.
    pub volume: Volume,
    /// Its mount.
    pub mount: VolumeMount,
}

/// All candidates for `member`, best first. `api_servers` are the pods of kube-apiserver on the same node.
pub fn candidates(member: &Member, api_servers: &[Pod], given: &PodOverrides) -> Vec<Credentials> {
    let read = Reader { pod: &member.pod, container: &member.container, usable_in_etcd_container: true };
    let setting = |name: &str| member.settings.get(name).map(str::to_owned);
    let cacert = || setting("trusted-ca-file");
    let mut found = Vec::new();

    if let (Some(cert), Some(key)) = (&given.cert, &given.key) {
        let cacert = given.cacert.clone().or_else(cacert);
        return vec![read.credentials("the flags --pod-cert and --pod-key", cacert, Some((cert.clone(), key.clone())))];
    }
    if member.local_endpoint().starts_with("http://") && given.endpoint.is_none() {
        return vec![read.credentials("none, since etcd serves plain http", None, None)];
    }

    for container in member.pod.spec.iter().flat_map(|spec| &spec.containers) {
        let variable = |name: &str| {
            let variable = container.env.iter().flatten().find(|variable| variable.name == name)?;
            variable.value.clone().filter(|value| !value.is_empty() && !value.contains('$'))
        };
        if let (Some(cert), Some(key)) = (variable("ETCDCTL_CERT"), variable("ETCDCTL_KEY")) {
            let here = Reader {
                pod: &member.pod,
                container,
                usable_in_etcd_container: container.name == member.container.name,
            };
            found.push(here.credentials(
                "ETCDCTL_* of the etcd pod",
                variable("ETCDCTL_CACERT").or_else(cacert),
                Some((cert, key)),
            ));
        }
    }
    if let (Some(cert), Some(key)) = (setting("cert-file"), setting("key-file")) {
        found.push(read.credentials("etcd's server certificate", cacert(), Some((cert, key))));
    }
    if let (Some(cert), Some(key)) = (setting("peer-cert-file"), setting("peer-key-file")) {
        let cacert = cacert().or_else(|| setting("peer-trusted-ca-file"));
        found.push(read.credentials("etcd's peer certificate", cacert, Some((cert, key))));
    }
    found.extend(by_layout(member, &read));
    for api_server in api_servers {
        found.extend(of_api_server(api_server));
    }
    for credentials in &mut found {
        credentials.cacert = given.cacert.clone().or(credentials.cacert.take());
    }
    found
}

/// Names that distributions give to the files, for pods whose flags do not say: with `--config-file` on an image that
/// cannot print it. Each is (CA, certificate, key).
const KNOWN_FILES: &[(&str, &str, &str)] = &[
    // RKE2 mounts each file by itself.
    ("server-ca.crt", "server-client.crt", "server-client.key"),
    // kubeadm, kind, minikube.
    ("ca.crt", "healthcheck-client.crt", "healthcheck-client.key"),
    ("ca.crt", "server.crt", "server.key"),
];

/// Directories under which distributions keep them.
const KNOWN_DIRECTORIES: &[&str] =
    &["/etc/kubernetes/pki/etcd", "/var/lib/minikube/certs/etcd", "/var/lib/rancher/rke2/server/tls/etcd"];

fn by_layout(member: &Member, read: &Reader<'_>) -> Vec<Credentials> {
    if member.settings.get("cert-file").is_some() {
        return Vec::new();
    }
    let mounts = || member.container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str());
    let mut found = Vec::new();
    for (cacert, cert, key) in KNOWN_FILES {
        let single = |name: &str| mounts().find(|path| path.rsplit('/').next() == Some(name)).map(str::to_owned);
        if let (Some(cert), Some(key)) = (single(cert), single(key)) {
            found.push(read.credentials("the known files of this distribution", single(cacert), Some((cert, key))));
        }
    }
    for directory in KNOWN_DIRECTORIES {
        if mounts().any(|path| covers(path, directory) && path != "/") {
            for (cacert, cert, key) in KNOWN_FILES {
                let path = |name: &str| format!("{directory}/{name}");
                found.push(read.credentials(
                    "the known files of this distribution",
                    Some(path(cacert)),
                    Some((path(cert), path(key))),
                ));
            }
        }
    }
    found
}

/// `--etcd-certfile` and its siblings of a kube-apiserver pod.
fn of_api_server(pod: &Pod) -> Option<Credentials> {
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == "kube-apiserver")?;
    let settings = crate::etcd::config::EtcdConfig::from_container(container);
    let pair = (settings.get("etcd-certfile")?.to_owned(), settings.get("etcd-keyfile")?.to_owned());
    let read = Reader { pod, container, usable_in_etcd_container: false };
    Some(read.credentials(
        "the API server's certificate for etcd",
        settings.get("etcd-cafile").map(str::to_owned),
        Some(pair),
    ))
}

/// The container in which paths are meant.
struct Reader<'p> {
    pod: &'p Pod,
    container: &'p Container,
    usable_in_etcd_container: bool,
}

impl Reader<'_> {
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
        let mounts = self.mounts_for(&paths);
        Credentials { origin, cacert, client_cert, usable_in_etcd_container: self.usable_in_etcd_container, mounts }
    }

    /// The mounts that cover `paths`, read-only. `None` when a path lies in the image, in a volume that belongs to
    /// this pod alone, or under a mount of the node's whole file system, which a backup has no business with.
    fn mounts_for(&self, paths: &[&str]) -> Option<Vec<Mount>> {
        let mut mounts: Vec<Mount> = Vec::new();
        for path in paths {
            let covering =
                self.container.volume_mounts.iter().flatten().filter(|mount| covers(&mount.mount_path, path));
            let mount = covering.max_by_key(|mount| mount.mount_path.len())?;
            let volume = self.pod.spec.as_ref()?.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
            let whole_node = volume.host_path.as_ref().is_some_and(|host| host.path.trim_end_matches('/').is_empty());
            let shared = volume.host_path.is_some()
                || volume.secret.is_some()
                || volume.config_map.is_some()
                || volume.projected.is_some();
            if whole_node || !shared || mount.sub_path_expr.is_some() {
                return None;
            }
            let mount = VolumeMount {
                read_only: Some(true),
                mount_propagation: None,
                recursive_read_only: None,
                ..mount.clone()
            };
            if !mounts.iter().any(|known| known.mount == mount) {
                mounts.push(Mount { volume: volume.clone(), mount });
            }
        }
        Some(mounts)
    }
}

/// Whether `path` is `directory` or lies below it.
pub fn covers(directory: &str, path: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    fn etcdctls_own_variables_come_first() {
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
    fn a_volume_of_the_pod_alone_or_the_whole_node_is_never_mounted() {
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
    fn single_files_are_found_where_the_flags_do_not_say() {
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
