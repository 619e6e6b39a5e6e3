//! Finding the pods that run etcd.
//!
//! Where to look: kubeadm and its kin (OCNE, kind, minikube, RKE2) label static pods `component=etcd` in kube-system,
//! kOps labels `k8s-app=etcd-manager-main` there, OpenShift `app=etcd` in openshift-etcd. Everything else is named by
//! `-n` and `-l`.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::Member;
use super::config::EtcdConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::k8s::KubeClient;

/// Namespaces that are searched without `-n`, in this order.
pub const NAMESPACES: &[&str] = &["kube-system", "openshift-etcd"];

const SELECTORS: &[&str] = &["component=etcd", "k8s-app=etcd-manager-main", "app=etcd", "app.kubernetes.io/name=etcd"];

/// The members of the first namespace that has any, by pod name.
///
/// # Errors
/// [`ErrorKind::NoEtcd`] when there are none; what the cluster refused, when it refused to list pods; that the API server
/// is not well, when that is why.
pub async fn members(cluster: &KubeClient, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<Member>> {
    match find(cluster, namespace, selector).await {
        Ok(members) => Ok(members),
        Err(error) => match cluster.failed_checks().await.as_slice() {
            [] => Err(error),
            checks => Err(not_ready(cluster, checks, &error)),
        },
    }
}

/// An API server that is not ready refuses and fails in words that lead astray.
fn not_ready(cluster: &KubeClient, checks: &[String], error: &Error) -> Error {
    let server = cluster.server();
    let said = format!("the request failed: {}", error.message());
    if checks.iter().any(|check| check.starts_with("etcd")) {
        Error::failed(format!("the API server {server} has lost its etcd, so nothing can be done through it ({said})"))
            .hint("has etcd lost its quorum? start the members that are down, and try again")
            .hint("a member that still runs can be backed up on its own node, also without a quorum; with kubeadm's paths: crictl exec $(crictl ps -q --name etcd) etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key snapshot save /var/lib/etcd/snapshot.db")
    } else {
        Error::failed(format!("the API server {server} is not ready ({}; {said})", checks.join(", ")))
            .hint("it may be starting: try again in a minute")
    }
}

async fn find(cluster: &KubeClient, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<Member>> {
    let namespaces: Vec<&str> = namespace.map_or_else(|| NAMESPACES.to_vec(), |namespace| vec![namespace]);
    let selectors: Vec<&str> = selector.map_or_else(|| SELECTORS.to_vec(), |selector| vec![selector]);
    let mut refusal = None;
    for namespace in &namespaces {
        for selector in &selectors {
            let pods = match cluster.pods(namespace, selector).await {
                Ok(pods) => pods,
                Err(failure) if failure.is_forbidden() && namespaces.len() > 1 => {
                    refusal.get_or_insert(Error::from(failure));
                    break;
                }
                Err(failure) => return Err(failure.into()),
            };
            let mut members: Vec<Member> = pods.into_iter().filter(is_alive).filter_map(Member::from_pod).collect();
            if !members.is_empty() {
                members.sort_by(|a, b| a.pod_name.cmp(&b.pod_name));
                for member in &mut members {
                    read_configuration_file(cluster, member).await;
                }
                return Ok(members);
            }
        }
    }
    Err(refusal.unwrap_or_else(|| none_found(cluster, &namespaces)))
}

fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// With `--config-file` the flags say nothing. The file is read where the image can print it; where it cannot, the
/// certificates are looked for in known places.
async fn read_configuration_file(cluster: &KubeClient, member: &mut Member) {
    let Some(path) = member.settings.get("config-file").map(str::to_owned) else {
        return;
    };
    let command = ["cat".to_owned(), path];
    let limit = Duration::from_secs(10);
    let answer = cluster.exec(&member.namespace, &member.pod_name, &member.container.name, &command, limit).await;
    if let Ok(output) = answer
        && output.success
        && let Some(settings) = EtcdConfig::from_file(&output.stdout)
    {
        member.settings = settings;
        if let Some(name) = member.settings.get("name") {
            member.name = name.to_owned();
        }
    }
}

/// The kube-apiserver pods of a node: their certificate for etcd is one that etcd accepts.
pub async fn api_servers(cluster: &KubeClient, node: &str) -> Vec<Pod> {
    let mut pods = Vec::new();
    for selector in ["component=kube-apiserver", "k8s-app=kube-apiserver"] {
        // A refusal costs one candidate for the certificates, nothing else.
        pods.extend(cluster.pods("kube-system", selector).await.unwrap_or_default());
    }
    pods.retain(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node));
    pods
}

fn none_found(cluster: &KubeClient, namespaces: &[&str]) -> Error {
    Error::new(
        ErrorKind::NoEtcd,
        format!("no etcd pods in namespace {} of cluster {}", namespaces.join(" or "), cluster.name()),
    )
    .hint("name them with -n NAMESPACE and -l SELECTOR, if they run elsewhere")
    .hint("managed control planes (EKS, GKE, AKS) keep etcd out of reach: their provider backs it up")
    .hint("k3s: 'k3s etcd-snapshot save' on a server node; Talos: 'talosctl etcd snapshot FILE'")
}
