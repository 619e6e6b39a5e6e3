//! The transport `node`, from the question whether it can work to the last byte.
//!
//! Each try is one job. A certificate that etcd refuses, an image without etcdctl or a key that root may not read
//! leads to the next try; everything else ends the run. A job that failed is removed before the next one is made.

pub mod job;
pub mod job_handle;
mod log_download;
pub mod pod;
pub mod preflight;

use std::io::Write;
use std::time::Instant;

use super::writer::SnapshotWriter;
use job::{JobLimits, JobSpec, random_name};
use job_handle::{JobHandle, Lease};
use log_download::{CopyFailure, LogDownload};
use pod::{Failure, JobPod, Phase, started, storage_limit_below};

use super::etcdctl_failure::{Cause, cause};
use super::permissions::permissions;
use super::request::{NotTaken, Place, Request, Taken};
use super::transport::Transport;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::Member;
use crate::etcd::credentials::pod_paths::Credentials;
use crate::etcd::etcdctl::error::{etcdctl_error, is_tls};
use crate::k8s::{Access, KubeClient, NodeLogPath};
use crate::util::byte_size::decimal_bytes;
use crate::util::events::Events;

enum Next {
    Credentials(Error),
    Image(Error),
    OverrideOwner(Error),
}

/// Takes the snapshot and hands its bytes to `writer`, which verifies the checksum.
///
/// # Errors
/// Why there is no whole snapshot.
pub async fn take<W: Write + Send + 'static>(
    cluster: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter<W>,
    owned: &JobHandle,
    events: &dyn Events,
) -> Result<Taken, NotTaken> {
    let until = Instant::now() + request.limits.deadline;
    must_be_allowed(cluster, request.member).await?;
    let checked = preflight::check(cluster, request.member, request.db_size).await?;
    let mut warnings = checked.warnings;
    let fixed = !may_renew(cluster, request).await;
    if fixed {
        warnings.push(format!(
            "not allowed to patch jobs in namespace {}: if this run is killed, its job and file stay for {} after the snapshot is written",
            request.member.namespace,
            humantime::format_duration(request.limits.deadline)
        ));
    }

    let images = images(request);
    let endpoint = request.endpoint.clone().unwrap_or_else(|| request.member.endpoint_from_node());
    let usable: Vec<&Credentials> = request.credentials.iter().filter(|candidate| candidate.mounts.is_some()).collect();
    if usable.is_empty() {
        return Err(no_credentials(request).into());
    }
    let (mut image, mut candidate, mut override_owner) = (0, 0, request.member.runs_as_other_user());
    loop {
        let name = random_name();
        let Some(named) = images.get(image) else {
            return Err(Error::not_possible(format!("pod {} names no image of etcd", request.member.pod_path()))
                .hint("name one that holds etcdctl, of etcd's own version, with --image")
                .into());
        };
        let plan = JobSpec {
            name: &name,
            member: request.member,
            image: named,
            endpoint: &endpoint,
            credentials: usable[candidate],
            pod_logs: &checked.pod_logs.path,
            override_owner,
            probe: usable[candidate].client_cert.is_some() && !(request.first_verified && candidate == 0),
            limits: JobLimits::new(
                request.db_size,
                if fixed { request.limits.deadline } else { request.limits.job_ttl },
                request.limits.deadline,
            ),
        };
        let attempt = Attempt { cluster, request, plan: &plan, pod_logs: &checked.pod_logs, fixed, until };
        let next = match attempt.run(writer, owned, events).await? {
            Ok(directory) => {
                let place = Some(Place::Node(directory.path));
                return Ok(Taken { transport: Transport::Node, place, warnings });
            }
            Err(next) => next,
        };
        owned.remove(cluster).await?;
        match next {
            Next::Credentials(_) if candidate + 1 < usable.len() => candidate += 1,
            Next::Image(_) if image + 1 < images.len() => image += 1,
            Next::OverrideOwner(_) if !override_owner => override_owner = true,
            Next::Credentials(error) | Next::Image(error) | Next::OverrideOwner(error) => return Err(error.into()),
        }
    }
}

/// A job that may not be deleted stays with its file, and one that may not be looked at is not renewed: without these
/// rights none is created. Where the cluster does not tell, the requests themselves will.
async fn must_be_allowed(cluster: &KubeClient, member: &Member) -> Result<()> {
    let jobs =
        permissions(Transport::Node).iter().filter(|right| right.is_required() && right.resources.contains(&"jobs"));
    // The request that creates it is refused by itself.
    for access in jobs.flat_map(|right| right.accesses(member)).filter(|access| access.verb != "create") {
        if cluster.can_i(&access).await == Some(false) {
            return Err(Error::not_allowed(format!("not allowed to {access}"))
                .hint("nothing was created; a cluster administrator can grant it with this manifest ('kubectl apply -f -')")
                .manifest(access.manifest(None)));
        }
    }
    Ok(())
}

/// Without the right to patch, or when the cluster does not tell, the job gets all of its time at the start.
async fn may_renew(cluster: &KubeClient, request: &Request<'_>) -> bool {
    let access = Access::namespaced("patch", "batch", "jobs", &request.member.namespace);
    cluster.can_i(&access).await.unwrap_or(false)
}

/// The etcd container's image, then those of init containers that look like etcd's (kOps brings etcdctl in that way).
pub(super) fn images(request: &Request<'_>) -> Vec<String> {
    if let Some(image) = &request.image {
        return vec![image.clone()];
    }
    let mut images: Vec<String> = request.member.container.image.iter().cloned().collect();
    let init = request.member.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let mut others: Vec<String> =
        init.filter_map(|container| container.image.clone()).filter(|image| image.contains("/etcd:")).collect();
    others.sort();
    images.extend(others.into_iter().rev().filter(|image| Some(image) != request.member.container.image.as_ref()));
    images
}

pub(super) fn no_credentials(request: &Request<'_>) -> Error {
    let pod = request.member.pod_path();
    let error = if request.credentials.is_empty() {
        Error::not_possible(format!("pod {pod} does not say which certificates its etcd uses"))
    } else {
        Error::not_possible(format!("the certificates of pod {pod} lie in a volume that no other pod can read"))
    };
    error.hint("name them with --pod-cacert, --pod-cert and --pod-key (paths in the etcd container)")
}

/// One job.
struct Attempt<'a> {
    cluster: &'a KubeClient,
    request: &'a Request<'a>,
    plan: &'a JobSpec<'a>,
    pod_logs: &'a NodeLogPath,
    fixed: bool,
    until: Instant,
}

impl Attempt<'_> {
    async fn run<W: Write + Send + 'static>(
        &self,
        writer: &SnapshotWriter<W>,
        owned: &JobHandle,
        events: &dyn Events,
    ) -> Result<Result<NodeLogPath, Next>, NotTaken> {
        let namespace = self.request.member.namespace.as_str();
        tracing::info!(
            job = self.plan.name,
            image = self.plan.image,
            certificates = self.plan.credentials.origin,
            "creating the job"
        );
        let job = owned.create(self.cluster, namespace, self.plan.job()).await.map_err(Error::from)?;
        let job_pod = JobPod { cluster: self.cluster, namespace, job: &job };
        let pod = job_pod.created(self.request.limits.pod_running_timeout).await?;
        self.refuse_low_storage_limit(&pod).await?;
        let directory = self.directory(&pod);
        match started(&job_pod, &pod, self.request.limits.pod_running_timeout).await? {
            Phase::Failed(failure) => return Ok(self.judge(failure)?),
            phase => debug_assert!(phase.is_started()),
        }
        tracing::info!(node = %directory.node, path = %directory.path, "the snapshot is written here");

        let progress = events.copy_progress(self.request.db_size);
        let lease = Lease {
            cluster: self.cluster,
            namespace,
            job: self.plan.name,
            length: self.request.limits.job_ttl,
            fixed: self.fixed,
            until: self.until,
        };
        let copy = LogDownload::new(
            self.cluster,
            &job_pod,
            &pod,
            directory.clone(),
            writer,
            progress.as_ref(),
            self.request.limits.stall_timeout,
            self.request.most(),
        );
        let copied = tokio::select! {
            copied = copy.run() => copied,
            error = lease.keep() => Err(CopyFailure::LogDownload(error)),
        };
        match copied {
            Ok(_) => {
                progress.finish();
                Ok(Ok(directory))
            }
            Err(CopyFailure::Pod(failure)) => {
                progress.abandon();
                Ok(self.judge(failure)?)
            }
            Err(CopyFailure::LogDownload(error)) => {
                progress.abandon();
                Err(self.with_log(error, &pod).await.into())
            }
            Err(CopyFailure::SnapshotWriter) => {
                progress.abandon();
                Err(NotTaken::NotWritten)
            }
        }
    }

    /// The pod's log directory, as the kubelet names it (Kubernetes `pkg/kubelet/kuberuntime/helpers.go`,
    /// BuildPodLogsDirectory).
    fn directory(&self, pod: &k8s_openapi::api::core::v1::Pod) -> NodeLogPath {
        let metadata = &pod.metadata;
        self.pod_logs.join(&format!(
            "{}_{}_{}",
            self.request.member.namespace,
            metadata.name.as_deref().unwrap_or_default(),
            metadata.uid.as_deref().unwrap_or_default()
        ))
    }

    /// Another certificate, another image, or the end.
    fn judge(&self, failure: Failure) -> Result<Result<NodeLogPath, Next>> {
        let image = self.plan.image;
        tracing::info!(?failure, "the job failed");
        Ok(Err(match failure {
            Failure::NoEtcdctl => Next::Image(failure.into_error(image)),
            Failure::Etcdctl(ref sentence) | Failure::Probe(ref sentence)
                if cause(sentence) == Cause::PermissionDenied =>
            {
                let error =
                    Error::not_possible(format!("the snapshot job may not read etcd's certificates: {sentence}"))
                        .hint("their owner is another user, and the cluster did not let the job override that");
                Next::OverrideOwner(error)
            }
            Failure::Probe(_) => Next::Credentials(failure.into_error(image)),
            Failure::Etcdctl(ref sentence) if is_tls(sentence) => Next::Credentials(failure.into_error(image)),
            failure => return Err(failure.into_error(image)),
        }))
    }

    async fn refuse_low_storage_limit(&self, pod: &k8s_openapi::api::core::v1::Pod) -> Result<()> {
        let Some(size) = self.request.db_size else {
            return Ok(());
        };
        let needed = size / 10 * 12;
        let Some(limit) = storage_limit_below(pod, needed) else {
            return Ok(());
        };
        let namespace = self.request.member.namespace.as_str();
        let ranges = self.cluster.limit_ranges(namespace).await.unwrap_or_default();
        let names: Vec<String> = ranges.into_iter().filter_map(|range| range.metadata.name).collect();
        let by = if names.is_empty() { "a LimitRange".to_owned() } else { format!("LimitRange {}", names.join(", ")) };
        Err(Error::new(
            ErrorKind::NotAllowed,
            format!(
                "{by} of namespace {namespace} limits the pod to {limit} of ephemeral storage, and the snapshot needs {}: the node would evict it",
                decimal_bytes(needed)
            ),
        )
        .hint(format!("raise the limit: 'kubectl describe limitrange -n {namespace}'")))
    }

    /// A copy that never began may have its reason in etcdctl's log.
    async fn with_log(&self, error: Error, pod: &k8s_openapi::api::core::v1::Pod) -> Error {
        if error.kind() != ErrorKind::Failed {
            return error;
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let log = self.cluster.log_tail(&self.request.member.namespace, name, 20).await.unwrap_or_default();
        match etcdctl_error(&log) {
            said if said.is_empty() || said.contains("Snapshot saved") => error,
            said => error.hint(format!("etcdctl said: {said}")),
        }
    }
}
