//! What a run has on the cluster, so that every way out deletes it: a job, or a file in the etcd container.

use super::exec::remote_file::RemoteFile;
use super::node::job_handle::JobHandle;
use crate::error::Result;
use crate::k8s::KubeClient;

/// Everything that exists on the cluster because of this run.
#[derive(Debug, Clone, Default)]
pub struct RemoteResources {
    pub(super) job: JobHandle,
    pub(super) file: RemoteFile,
}

impl RemoteResources {
    /// Returns whether there is something to delete.
    pub fn exists(&self) -> bool {
        self.job.exists() || self.file.exists()
    }

    /// Returns whether something was created, even if it is deleted already.
    pub fn was_created(&self) -> bool {
        self.job.was_created() || self.file.was_created()
    }

    /// Returns what was created, for messages.
    pub fn description(&self) -> &'static str {
        if self.file.was_created() { "the file from the etcd container" } else { "the job from the cluster" }
    }

    /// Deletes all of it and waits until it is gone. Does nothing if there is nothing.
    ///
    /// # Errors
    /// Something still exists; the hint says for how long at most, and how to delete it.
    pub async fn remove(&self, client: &KubeClient) -> Result<()> {
        let (job, file) = tokio::join!(self.job.remove(client), self.file.remove(client));
        job.and(file)
    }
}
