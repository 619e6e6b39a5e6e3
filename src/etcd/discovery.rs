//! Finds the pods that run etcd.
//!
//! kubeadm, OCNE, kind, minikube and RKE2 label static pods with `component=etcd` in kube-system, kOps with
//! `k8s-app=etcd-manager-main` there, and OpenShift with `app=etcd` in openshift-etcd. For other clusters, users give `-n`
//! and `-l`.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::config::EtcdConfig;
use super::member::Member;
use crate::error::{Error, ErrorKind, Result};
use crate::k8s::KubeClient;

/// The namespaces to search without `-n`, in this order.
pub const NAMESPACES: &[&str] = &["kube-system", "openshift-etcd"];

const SELECTORS: &[&str] = &["component=etcd", "k8s-app=etcd-manager-main", "app=etcd", "app.kubernetes.io/name=etcd"];

/// Returns the members in the first namespace that has any, sorted by pod name.
///
/// # Errors
/// [`ErrorKind::NoEtcd`] if there are none; a refusal to list pods; or the API server is not ready.
pub async fn members(client: &KubeClient, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<Member>> {
    match find_members(client, namespace, selector).await {
        Ok(members) => Ok(members),
        Err(error) => match client.failed_checks().await.as_slice() {
            [] => Err(error),
            checks => Err(not_ready_error(client, checks, &error)),
        },
    }
}

/// Explains the errors of an API server that is not ready, because they are misleading.
fn not_ready_error(client: &KubeClient, checks: &[String], error: &Error) -> Error {
    let server = client.server();
    let cause = format!("the request failed: {}", error.message());
    if checks.iter().any(|check| check.starts_with("etcd")) {
        Error::failed(format!("the API server {server} has lost its etcd, so nothing can be done through it ({cause})"))
            .hint("if etcd has lost its quorum, start the members that are down and try again")
            .hint("back up a member that still runs on its own node, which needs no quorum; with kubeadm's paths: crictl exec $(crictl ps -q --name etcd) etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key snapshot save /var/lib/etcd/snapshot.db")
    } else {
        Error::failed(format!("the API server {server} is not ready ({}; {cause})", checks.join(", ")))
            .hint("try again in a minute, because it may be starting")
    }
}

async fn find_members(client: &KubeClient, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<Member>> {
    let namespaces: Vec<&str> = namespace.map_or_else(|| NAMESPACES.to_vec(), |namespace| vec![namespace]);
    let selectors: Vec<&str> = selector.map_or_else(|| SELECTORS.to_vec(), |selector| vec![selector]);
    let mut refusal = None;
    for namespace in &namespaces {
        for selector in &selectors {
            let pods = match client.pods(namespace, selector).await {
                Ok(pods) => pods,
                Err(failure) if failure.is_forbidden() && namespaces.len() > 1 => {
                    refusal.get_or_insert(Error::from(failure));
                    break;
                }
                Err(failure) => return Err(failure.into()),
            };
            let mut members: Vec<Member> = pods.into_iter().filter(may_run).filter_map(Member::from_pod).collect();
            if !members.is_empty() {
                members.sort_by(|a, b| a.pod_name.cmp(&b.pod_name));
                for member in &mut members {
                    read_configuration_file(client, member).await;
                }
                return Ok(members);
            }
        }
    }
    Err(refusal.unwrap_or_else(|| no_etcd_error(client, &namespaces)))
}

fn may_run(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Reads the file of `--config-file`, with which etcd ignores its flags. An image without `cat` cannot print it; then the
/// certificates are looked for in known directories.
async fn read_configuration_file(client: &KubeClient, member: &mut Member) {
    let Some(path) = member.config.get("config-file").map(str::to_owned) else {
        return;
    };
    let command = ["cat".to_owned(), path];
    let limit = Duration::from_secs(10);
    let output = client.exec(&member.container_ref(), &command, limit).await;
    if let Ok(output) = output
        && output.success
        && let Some(config) = EtcdConfig::from_file(&output.stdout)
    {
        member.config = config;
        if let Some(name) = member.config.get("name") {
            member.name = name.to_owned();
        }
    }
}

/// Returns the kube-apiserver pods of a node, because etcd accepts their client certificate.
pub async fn api_servers(client: &KubeClient, node: &str) -> Vec<Pod> {
    let mut pods = Vec::new();
    for selector in ["component=kube-apiserver", "k8s-app=kube-apiserver"] {
        // After a refusal, only this candidate for the credentials is missing.
        pods.extend(client.pods("kube-system", selector).await.unwrap_or_default());
    }
    pods.retain(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node));
    pods
}

fn no_etcd_error(client: &KubeClient, namespaces: &[&str]) -> Error {
    Error::new(
        ErrorKind::NoEtcd,
        format!("no etcd pods in namespace {} of cluster {}", namespaces.join(" or "), client.name()),
    )
    .hint("name them with -n NAMESPACE and -l SELECTOR if they run elsewhere")
    .hint("on managed control planes (EKS, GKE, AKS), use the backup of the provider, because etcd is out of reach")
    .hint("on k3s, run 'k3s etcd-snapshot save' on a server node; on Talos, run 'talosctl etcd snapshot FILE'")
}
