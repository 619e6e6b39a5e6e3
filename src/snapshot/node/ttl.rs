//! Extends the job's TTL during the copy.
//!
//! Kubernetes deletes a finished job when its TTL ends. The TTL is short, so that a client that dies leaves nothing for
//! long, and a copy that takes longer extends it again and again.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::k8s::KubeClient;
use crate::snapshot::error::{deadline_exceeded, job_deleted};
use crate::snapshot::node::job::ended;

/// The TTL of one job.
pub struct TtlExtension<'t> {
    pub client: &'t KubeClient,
    pub namespace: &'t str,
    pub job: &'t str,
    /// How long the finished job stays after the last extension.
    pub ttl: Duration,
    /// Extensions are not allowed, so the job had a TTL for the whole run from the start.
    pub is_fixed: bool,
    /// When the whole backup must be over.
    pub until: Instant,
}

impl TtlExtension<'_> {
    /// Extends the TTL until this is dropped.
    ///
    /// # Errors
    /// Returns only if the job is gone or the deadline has passed.
    pub async fn run(&self) -> Error {
        let interval = (self.ttl / 10).max(Duration::from_millis(200));
        let mut finished: Option<Instant> = None;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            tokio::time::sleep(interval.min(left)).await;
            if Instant::now() >= self.until {
                return deadline_exceeded();
            }
            if self.is_fixed {
                continue;
            }
            let job = match self.client.job(self.namespace, self.job).await {
                Ok(job) => job,
                Err(failure) if failure.is_not_found() => return job_deleted(self.namespace, self.job),
                // If the API server stays away, the copy stalls and reports that.
                Err(_) => continue,
            };
            if finished.is_none() && ended(&job).is_some() {
                finished = Some(Instant::now());
            }
            if let Some(finished) = finished {
                // The TTL counts from the job's end.
                let seconds = (finished.elapsed() + self.ttl).as_secs().max(1);
                if let Err(failure) = self.client.set_job_ttl(self.namespace, self.job, seconds).await {
                    tracing::info!(error = %failure.error(), "cannot extend the job's TTL");
                }
            }
        }
    }
}
