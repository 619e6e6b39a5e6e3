//! The job's pod: waits until it runs, and finds out why it does not.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::pod_status::{Failure, Phase, phase_of};
use crate::error::Error;
use crate::k8s::{ApiError, KubeClient};
use crate::snapshot::error::{TransportError, job_deleted, not_possible, refused};

/// The pod of a job.
pub struct JobPod<'p> {
    pub client: &'p KubeClient,
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

    /// Waits until the job has a pod. Admission refuses the pod, not the job, so the reason is in the job's events.
    pub async fn wait_until_created(&self, limit: Duration) -> Result<Pod, TransportError> {
        let start = Instant::now();
        let selector = format!("app.kubernetes.io/instance={}", self.job_name());
        loop {
            match self.client.pods(self.namespace, &selector).await {
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

    /// Returns the newest FailedCreate event of the job as an error.
    async fn refusal(&self) -> Option<TransportError> {
        let uid = self.job.metadata.uid.as_deref()?;
        let events = self.client.events(self.namespace, uid).await.ok()?;
        let event = events.iter().rev().find(|event| event.reason.as_deref() == Some("FailedCreate"))?;
        let message = event.message.as_deref().unwrap_or("no reason given");
        let message = message.strip_prefix("Error creating: ").unwrap_or(message);
        let error = refused(format!("the cluster does not admit the snapshot job's pod: {message}"));
        Some(if message.contains("PodSecurity") {
            error.hint(format!(
                "the namespace enforces Pod Security; have an administrator exempt it: 'kubectl label namespace {} pod-security.kubernetes.io/enforce=privileged --overwrite'",
                self.namespace
            ))
        } else if message.contains("quota") {
            error.hint(format!(
                "raise the quota; 'kubectl describe resourcequota -n {}' shows what is used",
                self.namespace
            ))
        } else {
            error.hint("allow in the policy what the pod needs: a hostPath volume, and root without capabilities and without a service account token")
        })
    }

    async fn no_pod(&self, limit: Duration) -> TransportError {
        let name = self.job_name();
        let what = match self.client.job(self.namespace, name).await {
            Err(failure) if failure.is_not_found() => return job_deleted(self.namespace, name).into(),
            _ => {
                let uid = self.job.metadata.uid.as_deref().unwrap_or_default();
                let events = self.client.events(self.namespace, uid).await;
                let cause = match events {
                    Err(failure) if failure.is_forbidden() => "not allowed to list the events that have the reason",
                    _ => "no event has the reason",
                };
                format!("job {}/{name} got no pod within {}s: {cause}", self.namespace, limit.as_secs())
            }
        };
        not_possible(what).hint("check that the kube-controller-manager runs: 'kubectl get pods -n kube-system'")
    }

    /// Returns the pod's phase now; [`Phase::Failed`] if it is gone or was replaced.
    ///
    /// # Errors
    /// The request failed.
    pub async fn phase(&self, pod: &Pod) -> Result<Phase, ApiError> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.client.pod(self.namespace, name).await {
            Ok(now) if now.metadata.uid == pod.metadata.uid => Ok(phase_of(&now)),
            Ok(_) => {
                let what = format!("pod {}/{name} was replaced while the snapshot was taken", self.namespace);
                Ok(Phase::Failed(Failure::Stopped(Error::failed(what).hint("run the backup again").into())))
            }
            Err(failure) if failure.is_not_found() => Ok(Phase::Failed(Failure::Stopped(self.gone(name).await.into()))),
            Err(failure) => Err(failure),
        }
    }

    async fn gone(&self, pod: &str) -> Error {
        let job = self.job_name();
        match self.client.job(self.namespace, job).await {
            Ok(found) => match failed_condition(&found) {
                Some(reason) if reason == "DeadlineExceeded" => {
                    let seconds = found.spec.and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
                    Error::failed(format!(
                        "etcdctl did not finish within {seconds}s on the node, so the job was stopped"
                    ))
                    .hint(
                        "choose another member with --member, because the node's disk is slow or etcd does not answer",
                    )
                }
                _ => Error::failed(format!("pod {}/{pod} was deleted while the snapshot was taken", self.namespace))
                    .hint("run the backup again; an eviction or a drain may have deleted the pod"),
            },
            Err(_) => job_deleted(self.namespace, job),
        }
    }

    /// Waits until etcdctl runs, or has ended.
    pub async fn wait_until_started(&self, pod: &Pod, limit: Duration) -> Result<Phase, TransportError> {
        let start = Instant::now();
        let mut reason = String::new();
        loop {
            match self.phase(pod).await {
                Ok(Phase::Waiting(now)) => reason = now,
                Ok(phase) => return Ok(phase),
                Err(failure) if failure.is_transient() => {}
                Err(failure) => return Err(failure.into()),
            }
            if start.elapsed() > limit {
                let warning = self.newest_warning(pod).await.unwrap_or(reason);
                return Err(not_possible(format!(
                    "the snapshot's pod did not start within {}s; it waits for: {warning}",
                    limit.as_secs()
                ))
                .hint("wait longer with --pod-running-timeout"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the pod's newest warning event, which says what a long wait is for.
    async fn newest_warning(&self, pod: &Pod) -> Option<String> {
        let events = self.client.events(self.namespace, pod.metadata.uid.as_deref()?).await.ok()?;
        let warning = events.into_iter().rev().find(|event| event.type_.as_deref() == Some("Warning"))?;
        warning.message
    }
}

fn failed_condition(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?.reason.clone()
}
