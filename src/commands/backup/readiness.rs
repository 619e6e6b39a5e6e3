//! The wait for the etcd pod.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::ui::Ui;
use crate::util::events::Events;

/// Waits until the pod of `member` is ready, because a member that starts or fails cannot send its data.
///
/// # Errors
/// The pod is not ready within `limit`, or it cannot be read.
pub(super) async fn wait_until_ready(client: &KubeClient, member: &Member, limit: Duration, ui: &Ui) -> Result<()> {
    ui.status_start(&format!("Waiting for pod {} to be ready: ", member.pod_path()));
    let start = Instant::now();
    let mut current = member.clone();
    while !current.is_ready() {
        if start.elapsed() > limit {
            ui.status("no");
            return Err(Error::failed(format!(
                "pod {} is not ready after {}s: {}",
                member.pod_path(),
                limit.as_secs(),
                current.why_not_ready()
            ))
            .hint("choose another member with --member, or wait longer with --pod-running-timeout"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        match client.pod(&member.namespace, &member.pod_name).await {
            Ok(pod) => current = Member::from_pod(pod).unwrap_or(current),
            Err(failure) if failure.is_transient() => {}
            Err(failure) => {
                ui.status("no");
                return Err(failure.into());
            }
        }
    }
    ui.status("ok");
    Ok(())
}
