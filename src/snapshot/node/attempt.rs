//! One job: creates it, waits until its pod runs, and downloads its file.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;

use super::job::JobSpec;
use super::job_handle::JobHandle;
use super::log_download::{LogDownload, LogDownloadContext, LogDownloadError};
use super::pod::JobPod;
use super::pod_status::Phase;
use super::retry::{RetryReason, reason_to_retry};
use super::ttl::TtlExtension;
use crate::error::{Error, ErrorKind};
use crate::etcd::etcdctl::error::etcdctl_error;
use crate::k8s::{KubeClient, NodeLogPath};
use crate::snapshot::error::TransportError;
use crate::snapshot::headroom::{required_limit, storage_limit_below};
use crate::snapshot::request::Request;
use crate::snapshot::writer::SnapshotWriter;
use crate::util::byte_size::decimal_bytes;
use crate::util::events::Events;

pub(super) struct Attempt<'a> {
    pub client: &'a KubeClient,
    pub request: &'a Request<'a>,
    pub spec: &'a JobSpec<'a>,
    pub pod_logs: &'a NodeLogPath,
    /// The job's TTL is extended during the copy.
    pub extends_ttl: bool,
    /// When the whole backup must be over.
    pub until: Instant,
    pub writer: &'a SnapshotWriter,
    pub handle: &'a JobHandle,
    pub events: &'a dyn Events,
}

/// How an attempt ended, unless the run ends with it.
pub(super) enum AttemptEnd {
    /// All bytes are here; the directory in which they were.
    Copied(NodeLogPath),
    /// Another job may work.
    Retry(RetryReason),
}

impl Attempt<'_> {
    pub(super) async fn run(&self) -> Result<AttemptEnd, TransportError> {
        let (namespace, limits) = (self.request.member.namespace.as_str(), &self.request.limits);
        tracing::info!(
            job = self.spec.name,
            image = self.spec.image,
            certificates = self.spec.credentials.origin,
            "creating the job"
        );
        let job = self.handle.create(self.client, namespace, self.spec.job()).await?;
        let job_pod = JobPod { client: self.client, namespace, job: &job };
        let pod = job_pod.wait_until_created(limits.pod_running_timeout).await?;
        self.refuse_low_storage_limit(&pod).await?;
        let directory = self.directory(&pod);
        if let Phase::Failed(failure) = job_pod.wait_until_started(&pod, limits.pod_running_timeout).await? {
            tracing::info!(?failure, "the job failed");
            return Ok(AttemptEnd::Retry(reason_to_retry(failure, self.spec.image)?));
        }
        tracing::info!(node = %directory.node, path = %directory.path, "the snapshot is written here");

        let progress = self.events.copy_progress(self.request.db_size);
        let download = LogDownload::new(LogDownloadContext {
            client: self.client,
            job_pod: &job_pod,
            pod: &pod,
            directory: &directory,
            writer: self.writer,
            progress: progress.as_ref(),
            stall_timeout: limits.stall_timeout,
            max_size: self.request.max_size(),
        });
        let ttl = TtlExtension {
            client: self.client,
            namespace,
            job: self.spec.name,
            ttl: limits.job_ttl,
            is_fixed: !self.extends_ttl,
            until: self.until,
        };
        let downloaded = tokio::select! {
            downloaded = download.run() => downloaded,
            error = ttl.run() => Err(LogDownloadError::Transport(error.into())),
        };
        match downloaded {
            Ok(()) => {
                progress.finish();
                Ok(AttemptEnd::Copied(directory))
            }
            Err(error) => {
                progress.abandon();
                match error {
                    LogDownloadError::Pod(failure) => {
                        tracing::info!(?failure, "the job failed");
                        Ok(AttemptEnd::Retry(reason_to_retry(failure, self.spec.image)?))
                    }
                    LogDownloadError::Transport(error) => Err(self.with_etcdctl_log(error, &pod).await),
                }
            }
        }
    }

    /// Returns the pod's log directory, as the kubelet names it (Kubernetes `pkg/kubelet/kuberuntime/helpers.go`,
    /// BuildPodLogsDirectory).
    fn directory(&self, pod: &Pod) -> NodeLogPath {
        let metadata = &pod.metadata;
        self.pod_logs.join(&format!(
            "{}_{}_{}",
            self.request.member.namespace,
            metadata.name.as_deref().unwrap_or_default(),
            metadata.uid.as_deref().unwrap_or_default()
        ))
    }

    async fn refuse_low_storage_limit(&self, pod: &Pod) -> Result<(), TransportError> {
        let Some(size) = self.request.db_size else {
            return Ok(());
        };
        let needed = required_limit(size);
        let Some(limit) = storage_limit_below(pod, needed) else {
            return Ok(());
        };
        let namespace = self.request.member.namespace.as_str();
        let ranges = self.client.limit_ranges(namespace).await.unwrap_or_default();
        let names: Vec<String> = ranges.into_iter().filter_map(|range| range.metadata.name).collect();
        let by = if names.is_empty() { "a LimitRange".to_owned() } else { format!("LimitRange {}", names.join(", ")) };
        let what = format!(
            "{by} of namespace {namespace} limits the pod to {limit} of ephemeral storage, and the snapshot needs {}: the node would evict it",
            decimal_bytes(needed)
        );
        Err(Error::new(ErrorKind::NotAllowed, what)
            .hint(format!("raise the limit; 'kubectl describe limitrange -n {namespace}' shows it"))
            .into())
    }

    /// Adds what etcdctl logged, because that may be the reason of a copy that failed.
    async fn with_etcdctl_log(&self, error: TransportError, pod: &Pod) -> TransportError {
        let (TransportError::Failed(cause) | TransportError::Unavailable(cause)) = &error else {
            return error;
        };
        if cause.kind() != ErrorKind::Failed {
            return error;
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let log = self.client.log_tail(&self.request.member.namespace, name, 20).await.unwrap_or_default();
        match etcdctl_error(&log) {
            message if message.is_empty() || message.contains("Snapshot saved") => error,
            message => error.detail(format!("etcdctl said: {message}")),
        }
    }
}
