//! What the status of the job's pod means.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::error::Error;
use crate::etcd::etcdctl::error::etcdctl_error;
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::etcdctl_failure::{Cause, cause};

/// How far the pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It does not run yet; what it waits for.
    Waiting(String),
    /// etcdctl runs.
    Running,
    /// etcdctl exited with 0.
    Succeeded,
    /// There will be no snapshot.
    Failed(Failure),
}

/// Why the pod failed, in the classes that decide what is tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The image contains no etcdctl.
    NoEtcdctl,
    /// etcdctl failed; its message.
    Etcdctl(String),
    /// etcd did not accept the certificate, or does not run; the message of the init container.
    Probe(String),
    /// The node or the cluster stopped it.
    Stopped(TransportError),
}

impl Failure {
    /// Returns the error if nothing else can be tried.
    pub fn into_error(self, image: &str) -> TransportError {
        match self {
            Failure::NoEtcdctl => not_possible(format!("the image {image} contains no etcdctl"))
                .hint("name an image that does, of etcd's own version, with --image"),
            Failure::Etcdctl(message) if cause(&message) == Cause::NoSpace => {
                Error::failed(format!("the node ran out of space while etcdctl wrote the snapshot: {message}"))
                    .hint("free some space on the node: /var/log of the node is full, or is a partition that is too small; what was written is deleted")
                    .into()
            }
            Failure::Etcdctl(message) => Error::failed(format!("etcdctl failed on the node: {message}")).into(),
            Failure::Probe(message) => not_possible(format!(
                "etcd did not answer the snapshot job with this certificate: {message}"
            ))
            .hint("name a client certificate with --pod-cert, --pod-key and --pod-cacert (paths in the etcd container)"),
            Failure::Stopped(error) => error,
        }
    }
}

/// Returns the phase from the pod's status.
pub fn phase_of(pod: &Pod) -> Phase {
    let Some(status) = &pod.status else {
        return Phase::Waiting("the kubelet to accept it".to_owned());
    };
    let probe = status.init_container_statuses.iter().flatten().next();
    if let Some(failure) = probe.and_then(ended_badly) {
        return Phase::Failed(match failure {
            Failure::Etcdctl(message) => Failure::Probe(message),
            other => other,
        });
    }
    let main = status.container_statuses.iter().flatten().next();
    if let Some(failure) = main.and_then(ended_badly) {
        return Phase::Failed(failure);
    }
    for container in probe.into_iter().chain(main) {
        if let Some(error) = cannot_start(container, pod) {
            return Phase::Failed(error);
        }
    }
    match status.phase.as_deref() {
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed(Failure::Stopped(stopped(status))),
        Some("Running") => Phase::Running,
        _ => Phase::Waiting(waits_for(main, status)),
    }
}

fn waits_for(container: Option<&ContainerStatus>, status: &PodStatus) -> String {
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return waiting.message.as_ref().map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"));
    }
    let unmet =
        status.conditions.iter().flatten().find(|condition| condition.status != "True" && condition.message.is_some());
    unmet.and_then(|condition| condition.message.clone()).unwrap_or_else(|| "the kubelet to start it".to_owned())
}

fn ended_badly(container: &ContainerStatus) -> Option<Failure> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    if ended.exit_code == 0 {
        return None;
    }
    let message = ended.message.as_deref().unwrap_or_default();
    let missing = message.contains("executable file not found")
        || message.contains("no such file or directory") && ended.exit_code >= 127;
    if missing && (message.contains("etcdctl\"") || message.contains("exec")) {
        return Some(Failure::NoEtcdctl);
    }
    let message = etcdctl_error(message);
    let message = if message.is_empty() {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        format!("exit code {} ({reason}) without a message", ended.exit_code)
    } else {
        message
    };
    Some(Failure::Etcdctl(message))
}

/// Returns a failure for the reasons from which a container does not recover in time (Kubernetes
/// `pkg/kubelet/images/types.go` and `pkg/kubelet/container/sync_result.go`).
fn cannot_start(container: &ContainerStatus, pod: &Pod) -> Option<Failure> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or("no reason given");
    if message.contains("executable file not found") {
        return Some(Failure::NoEtcdctl);
    }
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            let error = not_possible(format!("the node cannot pull the image {}: {message}", container.image));
            let policy = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image_pull_policy.clone());
            Some(Failure::Stopped(if policy.as_deref() == Some("Always") {
                error.hint("make the registry reachable, or name an image that can be pulled with --image: the admission plugin AlwaysPullImages makes the node pull images that it already has")
            } else {
                error.hint("name an image with etcdctl that the node has or can pull with --image")
            }))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Failure::Stopped(not_possible(format!("the snapshot container cannot start ({reason}): {message}"))))
        }
        _ => None,
    }
}

/// Returns why the whole pod failed: an eviction, or the kubelet did not admit it.
fn stopped(status: &PodStatus) -> TransportError {
    let reason = status.reason.as_deref().unwrap_or("no reason");
    let message = status.message.as_deref().unwrap_or("the pod's status has no message");
    match reason {
        // Another transport must not fill a node that is short of space.
        "Evicted" => Error::failed(format!("the node evicted the snapshot's pod: {message}"))
            .hint("choose a member on another node with --member, because this one is short of space or memory")
            .into(),
        "DeadlineExceeded" => Error::failed(format!("the job was stopped at its deadline: {message}")).into(),
        _ => not_possible(format!("the node did not run the snapshot's pod ({reason}): {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "etcdctl", "imagePullPolicy": "Always"}]}, "status": status}))
            .expect("a pod")
    }

    fn container(state: serde_json::Value) -> serde_json::Value {
        json!([{"name": "etcdctl", "image": "etcd:1", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
    }

    #[test]
    fn an_image_without_etcdctl_is_seen_in_both_forms() {
        let message =
            "failed to create containerd task: exec: \"etcdctl\": executable file not found in $PATH: unknown";
        for state in [
            json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}}),
            json!({"waiting": {"reason": "RunContainerError", "message": message}}),
        ] {
            let phase = phase_of(&pod(json!({"phase": "Pending", "containerStatuses": container(state)})));
            assert_eq!(phase, Phase::Failed(Failure::NoEtcdctl));
        }
    }

    #[test]
    fn etcdctls_message_is_taken_from_the_status() {
        let state =
            json!({"terminated": {"exitCode": 1, "message": "Error: open /pki/server.key: permission denied\n"}});
        let phase = phase_of(&pod(json!({"phase": "Failed", "containerStatuses": container(state)})));
        assert_eq!(phase, Phase::Failed(Failure::Etcdctl("open /pki/server.key: permission denied".to_owned())));
    }

    #[test]
    fn a_pull_under_always_pull_images_names_the_plugin() {
        let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
        let phase = phase_of(&pod(json!({"phase": "Pending", "containerStatuses": container(state)})));
        let Phase::Failed(Failure::Stopped(error)) = phase else { panic!("{phase:?}") };
        assert!(error.into_error().hints()[0].contains("AlwaysPullImages"));
    }

    #[test]
    fn an_eviction_has_the_kubelets_message() {
        let phase = phase_of(&pod(
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}),
        ));
        let Phase::Failed(Failure::Stopped(TransportError::Failed(error))) = phase else { panic!("{phase:?}") };
        assert!(error.message().contains("low on resource"));
    }
}
