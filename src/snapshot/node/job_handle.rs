//! Creates and deletes the job.
//!
//! The job is known here before the request that creates it, so that every way out deletes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::k8s::{ApiError, KubeClient};
use crate::snapshot::removal::{API_SERVER_START, REMOVAL_TIMEOUT, TakeGuard};

/// The job that exists because of this run, if there is one.
#[derive(Debug, Clone, Default)]
pub struct JobHandle {
    current: Arc<Mutex<Option<OwnedJob>>>,
    was_created: Arc<AtomicBool>,
}

#[derive(Debug)]
struct OwnedJob {
    namespace: String,
    name: String,
    uid: Option<String>,
    /// The request that creates the job, and whether it was answered. It is a task, so that an interruption cannot drop
    /// it half-way.
    creating: Option<JoinHandle<bool>>,
    /// The request was not answered, so the API server may create the job later.
    in_doubt: bool,
}

impl JobHandle {
    fn slot(&self) -> MutexGuard<'_, Option<OwnedJob>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates `job`, which is remembered before the request is sent.
    pub async fn create(&self, client: &KubeClient, namespace: &str, job: Job) -> Result<Job, ApiError> {
        self.was_created.store(true, Ordering::Relaxed);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let name = job.metadata.name.clone().unwrap_or_default();
        let creating = {
            let (client, namespace) = (client.clone(), namespace.to_owned());
            tokio::spawn(async move {
                let created = client.create_job(&namespace, &job).await;
                let is_answered = !created.as_ref().is_err_and(ApiError::outcome_unknown);
                // After an interruption nothing receives the answer, but the job is deleted.
                let _ = answer.send(created);
                is_answered
            })
        };
        *self.slot() = Some(OwnedJob {
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
                let what = format!("cannot create job {namespace}/{name}: the request was lost");
                Err(ApiError::timeout(Error::failed(what)))
            }
        }
    }

    /// Returns whether there is a job to delete.
    pub fn exists(&self) -> bool {
        self.slot().is_some()
    }

    /// Returns whether a job was requested, even if it is deleted already.
    pub fn was_created(&self) -> bool {
        self.was_created.load(Ordering::Relaxed)
    }

    /// Deletes the job and waits until it and its pod are gone. Does nothing if there is none.
    ///
    /// # Errors
    /// The job still exists; the hint says how to delete it.
    pub async fn remove(&self, client: &KubeClient) -> Result<()> {
        let mut held = TakeGuard::new(&self.current);
        let Some(owned) = held.value.as_mut() else {
            return Ok(());
        };
        if let Some(creating) = &mut owned.creating {
            let answered = tokio::time::timeout(REMOVAL_TIMEOUT, creating).await;
            owned.in_doubt = !matches!(answered, Ok(Ok(true)));
        }
        owned.creating = None;
        let removed = owned.remove(client).await;
        held.value = None;
        removed
    }
}

impl OwnedJob {
    async fn remove(&self, client: &KubeClient) -> Result<()> {
        let (namespace, name) = (&self.namespace, &self.name);
        let start = Instant::now();
        let failed = |cause: &str| {
            Err(Error::failed(format!("cannot delete job {namespace}/{name}: {cause}"))
                .hint("it is deleted when its TTL ends; to delete it now, run 'kubectl etcd-backup cleanup --all'"))
        };
        let mut pause = Duration::from_millis(100);
        let mut was_there = !self.in_doubt;
        loop {
            // A second delete of a job that is being deleted changes nothing, and needs no permission to get jobs.
            match client.delete_job(namespace, name, self.uid.as_deref()).await {
                Err(failure) if failure.is_not_found() && !was_there => {
                    if start.elapsed() > API_SERVER_START {
                        return Err(Error::failed(format!(
                            "the request to create job {namespace}/{name} was not answered; the job does not exist, but may still be created"
                        ))
                        .hint("wait a minute, then run 'kubectl etcd-backup cleanup --all'"));
                    }
                }
                Err(failure) if failure.is_not_found() || failure.is_conflict() => return Ok(()),
                // The permission to delete was checked before the job was created.
                Err(failure) if failure.is_transient_once_allowed() && start.elapsed() < API_SERVER_START => {}
                Err(failure) if !failure.is_transient() => return failed(failure.error().message()),
                Err(failure) if start.elapsed() > REMOVAL_TIMEOUT => return failed(failure.error().message()),
                Ok(()) if start.elapsed() > REMOVAL_TIMEOUT => {
                    return failed("the API server accepted the request, but the job still exists");
                }
                Ok(()) => was_there = true,
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
