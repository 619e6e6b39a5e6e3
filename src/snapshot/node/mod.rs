//! The transport `node`: a Job on the member's node runs etcdctl, and the kubelet serves the file.
//!
//! Each attempt is one job. If etcd refuses its certificate, its image has no etcdctl or root cannot read the key, the
//! next attempt changes that. Any other failure ends the run. A job that failed is deleted before the next one is
//! created.

mod attempt;
mod download_state;
pub mod job;
pub mod job_handle;
pub mod job_plan;
mod log_download;
mod pod;
mod pod_status;
pub mod preflight;
mod range_body;
mod retry;
mod ttl;

use std::time::Instant;

use attempt::{Attempt, AttemptEnd};
use job_handle::JobHandle;
use job_plan::JobPlan;

use super::error::TransportError;
use super::permissions::permissions;
use super::request::{RemoteLocation, Request, Taken};
use super::transport::Transport;
use super::unique_name::unique_name;
use super::writer::SnapshotWriter;
use crate::error::Error;
use crate::etcd::Member;
use crate::k8s::{Access, KubeClient};
use crate::util::events::Events;

/// Takes the snapshot and pushes its bytes to `writer`, which verifies the checksum.
pub async fn take(
    client: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter,
    handle: &JobHandle,
    events: &dyn Events,
) -> Result<Taken, TransportError> {
    let until = Instant::now() + request.limits.deadline;
    check_permissions(client, request.member).await?;
    let checked = preflight::check(client, request.member, request.db_size).await?;
    let mut warnings = checked.warnings;
    let extends_ttl = may_extend_ttl(client, request).await;
    if !extends_ttl {
        warnings.push(format!(
            "not allowed to patch jobs in namespace {}: if this run is killed, its job and file stay for {} after the snapshot is written",
            request.member.namespace,
            humantime::format_duration(request.limits.deadline)
        ));
    }
    let plan = JobPlan::new(request)?;
    let mut variant = plan.first_variant();
    loop {
        let name = unique_name();
        let spec = plan.spec(&name, variant, &checked.pod_logs.path, extends_ttl);
        let attempt = Attempt {
            client,
            request,
            spec: &spec,
            pod_logs: &checked.pod_logs,
            extends_ttl,
            until,
            writer,
            handle,
            events,
        };
        match attempt.run().await? {
            AttemptEnd::Copied(directory) => {
                let location = Some(RemoteLocation::Node(directory.path));
                return Ok(Taken { transport: Transport::Node, location, warnings });
            }
            AttemptEnd::Retry(retry) => {
                handle.remove(client).await?;
                variant = plan.next_variant(variant, retry)?;
            }
        }
    }
}

/// Checks the permissions without which a job would stay on the cluster or could not be watched. If the cluster does
/// not say whether they are granted, the requests themselves are refused later.
async fn check_permissions(client: &KubeClient, member: &Member) -> Result<(), TransportError> {
    let jobs = permissions(Transport::Node)
        .iter()
        .filter(|permission| permission.is_required() && permission.resources.contains(&"jobs"));
    // Without the permission to create, the request itself is refused and nothing was created.
    for access in jobs.flat_map(|permission| permission.accesses(member)).filter(|access| access.verb != "create") {
        if client.can_i(&access).await == Some(false) {
            return Err(TransportError::Unavailable(
                Error::not_allowed(format!("not allowed to {access}"))
                    .hint("nothing was created; have a cluster administrator apply this manifest: 'kubectl apply -f -'")
                    .manifest(access.manifest(None)),
            ));
        }
    }
    Ok(())
}

/// Returns whether the job's TTL can be extended. If the cluster does not say so, the job gets the longest TTL at the
/// start.
async fn may_extend_ttl(client: &KubeClient, request: &Request<'_>) -> bool {
    let access = Access::namespaced("patch", "batch", "jobs", &request.member.namespace);
    client.can_i(&access).await.unwrap_or(false)
}
