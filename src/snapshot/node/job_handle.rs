//! How long a job stays on the cluster, and that it is gone afterwards.
//!
//! A job outlives its end by a short time only, and while a copy runs that time is renewed: a workstation that dies
//! leaves nothing for long. A job that this run created is known here from before the request that creates it, so
//! that no way out forgets it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::k8s::{ApiError, KubeClient};

/// The job that exists because of this run, if there is one.
#[derive(Debug, Clone, Default)]
pub struct JobHandle {
    current: Arc<Mutex<Option<Owned>>>,
    used: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Owned {
    namespace: String,
    name: String,
    uid: Option<String>,
    /// The request that creates the job, and whether it was answered. It runs apart, so that an interruption cannot drop
    /// it half-way.
    creating: Option<JoinHandle<bool>>,
    /// The request was not answered, so that the job may come into being later.
    in_doubt: bool,
}

/// How long to wait for a job to be gone before saying that it is still there.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long an API server that starts may refuse what it allowed before.
pub const STARTING: Duration = Duration::from_secs(5);

impl JobHandle {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Owned>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates `job`, and remembers it from before the request is sent.
    pub async fn create(&self, cluster: &KubeClient, namespace: &str, job: Job) -> Result<Job, ApiError> {
        self.used.store(true, Ordering::Relaxed);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let name = job.metadata.name.clone().unwrap_or_default();
        let creating = {
            let (cluster, namespace) = (cluster.clone(), namespace.to_owned());
            tokio::spawn(async move {
                let created = cluster.create_job(&namespace, &job).await;
                let is_answered = !created.as_ref().is_err_and(ApiError::outcome_unknown);
                // Nobody listens any more after an interruption; the job is removed all the same.
                let _ = answer.send(created);
                is_answered
            })
        };
        *self.slot() = Some(Owned {
            namespace: namespace.to_owned(),
            name: name.clone(),
            uid: None,
            creating: Some(creating),
            in_doubt: false,
        });
        match answered.await {
            Ok(Ok(created)) => {
                if let Some(owned) = self.slot().as_mut() {
                    owned.uid = created.metadata.uid.clone();
                    owned.creating = None;
                }
                Ok(created)
            }
            Ok(Err(failure)) => {
                // A refusal is final; without an answer the job may exist and stays remembered.
                if !failure.is_transient() {
                    *self.slot() = None;
                }
                Err(failure)
            }
            Err(_) => {
                Err(ApiError::timeout(Error::failed(format!("the request to create job {namespace}/{name} was lost"))))
            }
        }
    }

    /// There is a job to remove.
    pub fn is_there(&self) -> bool {
        self.slot().is_some()
    }

    /// A job has been asked for, even if it is gone already.
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Deletes the job and waits until it and its pod are gone. Does nothing when there is none.
    ///
    /// # Errors
    /// The job is still there; the sentence says where, for how long at most, and how to remove it.
    pub async fn remove(&self, cluster: &KubeClient) -> Result<()> {
        let mut held = TakeGuard::of(&self.current);
        let Some(owned) = held.value.as_mut() else {
            return Ok(());
        };
        if let Some(creating) = &mut owned.creating {
            let answered = tokio::time::timeout(PATIENCE, creating).await;
            owned.in_doubt = !matches!(answered, Ok(Ok(true)));
        }
        owned.creating = None;
        let removed = remove(cluster, &owned.namespace, &owned.name, owned.uid.as_deref(), owned.in_doubt).await;
        held.value = None;
        removed
    }
}

/// What somebody is about to remove. Unless that came to its end, it goes back to where it is remembered.
pub struct TakeGuard<'h, T> {
    slot: &'h Mutex<Option<T>>,
    pub value: Option<T>,
}

impl<'h, T> TakeGuard<'h, T> {
    pub fn of(slot: &'h Mutex<Option<T>>) -> Self {
        let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        TakeGuard { slot, value }
    }
}

impl<T> Drop for TakeGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        }
    }
}

/// Deletes a job with its pod and waits until both are gone.
async fn remove(cluster: &KubeClient, namespace: &str, name: &str, uid: Option<&str>, in_doubt: bool) -> Result<()> {
    let start = Instant::now();
    let left = |why: &str| {
        Error::failed(format!("job {namespace}/{name} could not be removed: {why}"))
            .hint("it removes itself when its time is over; to remove it now: 'kubectl etcd-backup cleanup --all'")
    };
    let mut pause = Duration::from_millis(100);
    let mut was_there = !in_doubt;
    loop {
        // A second delete of a job that is on its way out changes nothing, and a right to get is not needed for it.
        match cluster.delete_job(namespace, name, uid).await {
            Err(failure) if failure.is_not_found() && !was_there => {
                if start.elapsed() > STARTING {
                    return Err(Error::failed(format!(
                        "the request to create job {namespace}/{name} was not answered: there is no such job, but it may still come"
                    ))
                    .hint("look for it in a minute, and remove it: 'kubectl etcd-backup cleanup --all'"));
                }
            }
            Err(failure) if failure.is_not_found() || failure.is_conflict() => return Ok(()),
            // The right to delete was asked for before the job was created.
            Err(failure) if failure.is_transient_once_allowed() && start.elapsed() < STARTING => {}
            Err(failure) if !failure.is_transient() => return Err(left(failure.error().message())),
            Err(failure) if start.elapsed() > PATIENCE => return Err(left(failure.error().message())),
            Ok(()) if start.elapsed() > PATIENCE => {
                return Err(left("the cluster accepted the request, and the job is still there"));
            }
            Ok(()) => was_there = true,
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// The renewal of one job's time.
pub struct Lease<'l> {
    pub cluster: &'l KubeClient,
    pub namespace: &'l str,
    pub job: &'l str,
    /// How long the job outlives its end when nobody renews.
    pub length: Duration,
    /// Renewals are refused, so the job was given all of its time at the start.
    pub fixed: bool,
    /// When everything must be over.
    pub until: Instant,
}

impl Lease<'_> {
    /// Renews until it is dropped.
    ///
    /// # Errors
    /// Returns only when the job is gone or its longest time is over.
    pub async fn keep(&self) -> Error {
        let every = (self.length / 10).max(Duration::from_millis(200));
        let mut finished: Option<Instant> = None;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            tokio::time::sleep(every.min(left)).await;
            if Instant::now() >= self.until {
                return crate::snapshot::direct::deadline_exceeded();
            }
            if self.fixed {
                continue;
            }
            let job = match self.cluster.job(self.namespace, self.job).await {
                Ok(job) => job,
                Err(failure) if failure.is_not_found() => return removed(self.namespace, self.job),
                // The copy notices by itself when the API server stays away.
                Err(_) => continue,
            };
            if finished.is_none() && ended(&job).is_some() {
                finished = Some(Instant::now());
            }
            if let Some(finished) = finished {
                let seconds = (finished.elapsed() + self.length).as_secs().max(1);
                if let Err(failure) = self.cluster.set_job_ttl(self.namespace, self.job, seconds).await {
                    tracing::info!(error = %failure.error(), "the job's time could not be renewed");
                }
            }
        }
    }
}

/// Somebody else removed the job, or its time ran out while the API server could not be reached.
pub fn removed(namespace: &str, job: &str) -> Error {
    Error::failed(format!(
        "job {namespace}/{job} was removed while the snapshot was taken, by somebody else or because its time ran out"
    ))
    .hint("run the backup again; on a slow or shaky line with a longer --job-ttl")
}

/// The condition with which a job ended, well or badly; `None` while it runs.
pub fn ended(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .find(|condition| condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed"))
}
