//! The job's pod: waiting for it in its own words, and telling why it did not work.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::error::{Error, Result};
use crate::etcd::etcdctl::error::etcdctl_error;
use crate::k8s::KubeClient;
use crate::util::quantity::parse_quantity;

/// How the pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Not running yet; what it waits for.
    Waiting(String),
    /// etcdctl runs.
    Running,
    /// etcdctl ended well.
    Succeeded,
    /// It will never give a snapshot.
    Failed(Failure),
}

/// Why the pod failed, in the classes that decide what is tried next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The image holds no etcdctl.
    NoEtcdctl,
    /// etcdctl ended with an error; its sentence.
    Etcdctl(String),
    /// etcd did not accept the certificate, or is not there: the init container's sentence.
    Probe(String),
    /// The node or the cluster stopped it.
    Stopped(Error),
}

/// The pod of a job.
pub struct JobPod<'p> {
    pub cluster: &'p KubeClient,
    pub namespace: &'p str,
    pub job: &'p Job,
}

/// Without a pod after this long, the job's events are read.
const NO_POD: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(100);

impl JobPod<'_> {
    fn job_name(&self) -> &str {
        self.job.metadata.name.as_deref().unwrap_or_default()
    }

    /// Waits until the job has a pod. Admission refuses the pod, not the job, so the job's events are asked for the
    /// reason when there is none.
    pub async fn created(&self, limit: Duration) -> Result<Pod> {
        let start = Instant::now();
        let selector = format!("app.kubernetes.io/instance={}", self.job_name());
        loop {
            match self.cluster.pods(self.namespace, &selector).await {
                Ok(pods) => {
                    if let Some(pod) = pods.into_iter().next() {
                        return Ok(pod);
                    }
                }
                Err(failure) if failure.is_transient() => {}
                Err(failure) => return Err(failure.into()),
            }
            if start.elapsed() > NO_POD.min(limit)
                && let Some(refusal) = self.refusal().await
            {
                return Err(refusal);
            }
            if start.elapsed() > limit {
                return Err(self.no_pod(limit).await);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The newest FailedCreate event of the job.
    async fn refusal(&self) -> Option<Error> {
        let uid = self.job.metadata.uid.as_deref()?;
        let events = self.cluster.events(self.namespace, uid).await.ok()?;
        let event = events.iter().rev().find(|event| event.reason.as_deref() == Some("FailedCreate"))?;
        let message = event.message.as_deref().unwrap_or("no reason given");
        let message = message.strip_prefix("Error creating: ").unwrap_or(message);
        let error = Error::not_allowed(format!("the cluster does not admit the snapshot job's pod: {message}"));
        Some(if message.contains("PodSecurity") {
            error.hint(format!(
                "the namespace enforces Pod Security: an administrator can exempt it with 'kubectl label namespace {} pod-security.kubernetes.io/enforce=privileged --overwrite'",
                self.namespace
            ))
        } else if message.contains("quota") {
            error.hint(format!("'kubectl describe resourcequota -n {}' shows what is used up", self.namespace))
        } else {
            error.hint("the pod needs a hostPath volume, runs as root without capabilities and without a service account token: the policy must allow that")
        })
    }

    async fn no_pod(&self, limit: Duration) -> Error {
        let name = self.job_name();
        let what = match self.cluster.job(self.namespace, name).await {
            Err(failure) if failure.is_not_found() => return super::job_handle::removed(self.namespace, name),
            _ => {
                let uid = self.job.metadata.uid.as_deref().unwrap_or_default();
                let events = self.cluster.events(self.namespace, uid).await;
                let why = match events {
                    Err(failure) if failure.is_forbidden() => "the events that would say why may not be listed",
                    _ => "no event says why",
                };
                format!("job {}/{name} got no pod within {}s, and {why}", self.namespace, limit.as_secs())
            }
        };
        Error::not_possible(what).hint("is the kube-controller-manager running? 'kubectl get pods -n kube-system'")
    }

    /// How the pod stands now; [`Phase::Failed`] when it is gone or was replaced.
    ///
    /// # Errors
    /// Only when the API server could not be asked.
    pub async fn phase(&self, pod: &Pod) -> Result<Phase, crate::k8s::ApiError> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.cluster.pod(self.namespace, name).await {
            Ok(now) if now.metadata.uid == pod.metadata.uid => Ok(phase_of(&now)),
            Ok(_) => {
                let what = format!("pod {}/{name} was replaced while the snapshot was taken", self.namespace);
                Ok(Phase::Failed(Failure::Stopped(Error::failed(what).hint("run the backup again"))))
            }
            Err(failure) if failure.is_not_found() => Ok(Phase::Failed(Failure::Stopped(self.gone(name).await))),
            Err(failure) => Err(failure),
        }
    }

    async fn gone(&self, pod: &str) -> Error {
        let job = self.job_name();
        match self.cluster.job(self.namespace, job).await {
            Ok(found) => match failed_condition(&found) {
                Some(reason) if reason == "DeadlineExceeded" => {
                    let seconds = found.spec.and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
                    Error::failed(format!(
                        "etcdctl did not finish within {seconds}s on the node, so the job was stopped"
                    ))
                    .hint("the node's disk is slow or etcd does not answer; choose another member with --member")
                }
                _ => Error::failed(format!("pod {}/{pod} was removed while the snapshot was taken", self.namespace))
                    .hint("somebody or something deleted it (eviction, a drain): run the backup again"),
            },
            Err(_) => super::job_handle::removed(self.namespace, job),
        }
    }

    /// What the pod is waiting for, from its events, for a wait that takes long.
    pub async fn newest_warning(&self, pod: &Pod) -> Option<String> {
        let events = self.cluster.events(self.namespace, pod.metadata.uid.as_deref()?).await.ok()?;
        let warning = events.into_iter().rev().find(|event| event.type_.as_deref() == Some("Warning"))?;
        warning.message
    }
}

fn failed_condition(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?.reason.clone()
}

fn phase_of(pod: &Pod) -> Phase {
    let Some(status) = &pod.status else {
        return Phase::Waiting("the kubelet to take it".to_owned());
    };
    let probe = status.init_container_statuses.iter().flatten().next();
    if let Some(failure) = probe.and_then(ended_badly) {
        return Phase::Failed(match failure {
            Failure::Etcdctl(sentence) => Failure::Probe(sentence),
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
    let sentence = etcdctl_error(message);
    let sentence = if sentence.is_empty() {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        format!("it ended with code {} ({reason}) and said nothing", ended.exit_code)
    } else {
        sentence
    };
    Some(Failure::Etcdctl(sentence))
}

/// Reasons from which a container does not recover within our time (Kubernetes `pkg/kubelet/images/types.go` and
/// `pkg/kubelet/container/sync_result.go`).
fn cannot_start(container: &ContainerStatus, pod: &Pod) -> Option<Failure> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or("no reason given");
    if message.contains("executable file not found") {
        return Some(Failure::NoEtcdctl);
    }
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            let error =
                Error::not_possible(format!("the image {} cannot be pulled on the node: {message}", container.image));
            let policy = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image_pull_policy.clone());
            Some(Failure::Stopped(if policy.as_deref() == Some("Always") {
                error.hint("the admission plugin AlwaysPullImages makes the node pull an image that it already has: the registry must be reachable, or name an image that can be pulled with --image")
            } else {
                error.hint("name an image with etcdctl that the node has or can pull with --image")
            }))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Failure::Stopped(
            Error::not_possible(format!("the snapshot container cannot start ({reason}): {message}")),
        )),
        _ => None,
    }
}

/// The whole pod failed: eviction, or the kubelet did not admit it.
fn stopped(status: &PodStatus) -> Error {
    let reason = status.reason.as_deref().unwrap_or("no reason");
    let message = status.message.as_deref().unwrap_or("the pod's status says no more");
    match reason {
        // A node that is short of room must not be filled in another way.
        "Evicted" => Error::failed(format!("the node evicted the snapshot's pod: {message}"))
            .hint("the node is short of space or memory; choose a member on another node with --member"),
        "DeadlineExceeded" => Error::failed(format!("the job was stopped at its deadline: {message}")),
        _ => Error::not_possible(format!("the node did not run the snapshot's pod ({reason}): {message}")),
    }
}

/// An ephemeral-storage limit that a LimitRange put on the pod, when it is below what the snapshot needs: the kubelet
/// counts files in a pod's log directory against it, and evicts.
pub fn storage_limit_below(pod: &Pod, needed: u64) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let limits = containers
        .iter()
        .filter_map(|container| container.resources.as_ref()?.limits.as_ref()?.get("ephemeral-storage"));
    limits
        .filter(|limit| parse_quantity(&limit.0).is_some_and(|bytes| bytes < needed))
        .map(|limit| limit.0.clone())
        .next()
}

impl Failure {
    /// As an error of its own, when nothing else can be tried.
    pub fn into_error(self, image: &str) -> Error {
        match self {
            Failure::NoEtcdctl => Error::not_possible(format!("the image {image} holds no etcdctl"))
                .hint("name an image that does, of etcd's own version, with --image"),
            Failure::Etcdctl(sentence) if crate::snapshot::etcdctl_failure::cause(&sentence) == crate::snapshot::etcdctl_failure::Cause::NoSpace => {
                Error::failed(format!("the node ran out of space while etcdctl wrote the snapshot: {sentence}"))
                    .hint("/var/log of the node is full, or a partition of its own that is too small; what was written is removed")
            }
            Failure::Etcdctl(sentence) => Error::failed(format!("etcdctl failed on the node: {sentence}")),
            Failure::Probe(sentence) => Error::not_possible(format!("etcd did not answer the snapshot job with this certificate: {sentence}"))
                .hint("name a client certificate with --pod-cert, --pod-key and --pod-cacert (paths in the etcd container)"),
            Failure::Stopped(error) => error,
        }
    }
}

impl Phase {
    /// The pod will give a snapshot, or gives one now.
    pub fn is_started(&self) -> bool {
        matches!(self, Phase::Running | Phase::Succeeded)
    }
}

/// Waits until etcdctl runs, or has ended.
pub async fn started(job: &JobPod<'_>, pod: &Pod, limit: Duration) -> Result<Phase> {
    let start = Instant::now();
    let mut told = String::new();
    loop {
        match job.phase(pod).await {
            Ok(Phase::Waiting(reason)) => told = reason,
            Ok(phase) => return Ok(phase),
            Err(failure) if failure.is_transient() => {}
            Err(failure) => return Err(failure.into()),
        }
        if start.elapsed() > limit {
            let warning = job.newest_warning(pod).await.unwrap_or(told);
            return Err(Error::not_possible(format!(
                "the snapshot's pod did not start within {}s; it waits for: {warning}",
                limit.as_secs()
            ))
            .hint("--pod-running-timeout sets the limit"));
        }
        tokio::time::sleep(POLL).await;
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
    fn etcdctls_sentence_is_taken_from_the_status() {
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
        assert!(error.hints()[0].contains("AlwaysPullImages"));
    }

    #[test]
    fn an_eviction_is_told_in_the_kubelets_words() {
        let phase = phase_of(&pod(
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}),
        ));
        let Phase::Failed(Failure::Stopped(error)) = phase else { panic!("{phase:?}") };
        assert!(error.message().contains("low on resource"));
    }
}
