//! `cleanup`: deletes the jobs that earlier runs left on the cluster, or their files on this machine.
//!
//! Kubernetes deletes the job of a killed run when it expires. This command is for jobs that stay, for example because
//! the controller is off.

mod local;

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;

use crate::cli::CleanupOptions;
use crate::error::{Error, Result};
use crate::etcd::discovery::NAMESPACES;
use crate::k8s::KubeClient;
use crate::snapshot::{LABEL, ended};
use crate::ui::Ui;
use crate::util::events::Events;

pub(super) async fn run(options: &CleanupOptions, ui: &Ui) -> Result<()> {
    let etcd = &options.cluster.etcd;
    if options.format.is_some() || etcd.selector.is_some() {
        return Err(Error::usage("-o and -l cannot be used with 'cleanup'")
            .hint("remove -o and -l; 'cleanup' finds its jobs by their labels and prints their names"));
    }
    if let Some(directory) = &options.local {
        return local::run(directory, options.yes, ui).await;
    }
    let cluster = KubeClient::connect(&options.cluster.connect).await?;
    let namespaces: Vec<&str> =
        etcd.namespace.as_deref().map_or_else(|| NAMESPACES.to_vec(), |namespace| vec![namespace]);
    let (mut deleted, mut kept, mut refusals, mut failures) = (0_usize, 0_usize, Vec::new(), Vec::new());
    let mut listed = Vec::new();
    for namespace in &namespaces {
        let jobs = match cluster.jobs(namespace, LABEL).await {
            Ok(jobs) => {
                listed.push(*namespace);
                jobs
            }
            Err(failure) if failure.is_forbidden() && namespaces.len() > 1 => {
                refusals.push(Error::from(failure));
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        for job in jobs {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            match time_left(&job, Timestamp::now()) {
                Some(left) if !options.all => {
                    kept += 1;
                    ui.status(&format!(
                        "job.batch/{name} in {namespace} expires in {}s; use --all to delete it now",
                        left.as_secs()
                    ));
                }
                _ => match cluster.delete_job(namespace, name, job.metadata.uid.as_deref()).await {
                    Ok(()) => {
                        deleted += 1;
                        ui.println(&format!("job.batch \"{name}\" deleted from {namespace} namespace"))?;
                    }
                    Err(failure) if failure.is_not_found() => {}
                    // One failure does not stop the others.
                    Err(failure) => failures.push(Error::from(failure)),
                },
            }
        }
    }
    if listed.is_empty()
        && let Some(refusal) = refusals.pop()
    {
        return Err(refusal);
    }
    refusals.iter().for_each(|refusal| ui.warn(refusal.message()));
    if let Some(failure) = failures.pop() {
        failures.iter().for_each(|failure| ui.error(failure));
        return Err(failure);
    }
    match (deleted, kept) {
        (0, 0) => ui.status(&format!("No jobs of earlier runs found in {}.", listed.join(" or "))),
        (0, _) => {}
        _ => ui.status("The kubelet deletes their files from the node within about two minutes."),
    }
    Ok(())
}

/// Returns the time until Kubernetes deletes the job; `None` if the job has expired or does not expire.
fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let spec = job.spec.as_ref()?;
    let (since, seconds) = match ended(job) {
        Some(condition) => (condition.last_transition_time.as_ref()?.0, i64::from(spec.ttl_seconds_after_finished?)),
        None => {
            let started = job.status.as_ref().and_then(|status| status.start_time.as_ref());
            (started.or(job.metadata.creation_timestamp.as_ref())?.0, spec.active_deadline_seconds?)
        }
    };
    let left = seconds.saturating_sub(now.as_second().saturating_sub(since.as_second()));
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(status: serde_json::Value) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "etcd-backup-x"},
            "spec": {"activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 60, "template": {}},
            "status": status,
        }))
        .expect("a job")
    }

    #[test]
    fn a_running_job_expires_at_its_deadline_and_a_finished_one_after_its_ttl() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let running = job(json!({"startTime": "2026-01-01T00:00:00Z"}));
        assert_eq!(time_left(&running, at("2026-01-01T00:01:00Z")), Some(Duration::from_secs(540)));
        assert_eq!(time_left(&running, at("2026-01-01T00:10:00Z")), None);
        let condition = json!([{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:02:00Z"}]);
        let finished = job(json!({"startTime": "2026-01-01T00:00:00Z", "conditions": condition}));
        assert_eq!(time_left(&finished, at("2026-01-01T00:02:30Z")), Some(Duration::from_secs(30)));
        assert_eq!(time_left(&finished, at("2026-01-01T00:03:00Z")), None);
    }
}
