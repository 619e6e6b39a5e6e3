//! What a backup would do, for a dry run. Nothing here creates anything.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;

use super::direct;
use super::error::TransportError;
use super::exec::container::ContainerShell;
use super::node::job_plan::{JobPlan, images};
use super::node::preflight;
use super::request::Request;
use super::selection::TransportSelection;
use super::transport::Transport;
use super::unique_name::unique_name;
use crate::error::{Error, Result};
use crate::k8s::{DiskSpace, KubeClient};

/// How long etcd may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The transports that a backup would try, in this order.
pub struct TransportProbe<'r> {
    client: &'r KubeClient,
    request: &'r Request<'r>,
    selection: TransportSelection<'r>,
    pub transports: Vec<Transport>,
}

impl<'r> TransportProbe<'r> {
    /// Finds out what would be tried.
    ///
    /// # Errors
    /// The certificates that the flags name cannot be used.
    pub async fn new(client: &'r KubeClient, request: &'r Request<'r>) -> Result<Self> {
        let selection = TransportSelection::new(client, request).await?;
        let transports = selection.candidates();
        Ok(TransportProbe { client, request, selection, transports })
    }

    /// Notes that `transport` is not available: a backup would try the next one.
    pub fn rule_out(&mut self, transport: Transport, error: Error) {
        self.selection.rule_out(transport, error);
    }

    /// Returns the error of a backup for which no transport is available.
    pub fn into_error(self) -> Error {
        self.selection.into_error()
    }

    /// Connects to etcd, and returns its version.
    ///
    /// # Errors
    /// etcd cannot be reached, is not trusted, or refuses the certificate or the user.
    pub async fn direct(&self) -> Result<String, TransportError> {
        let config = self.selection.client_config()?;
        let (_, status) = direct::connect(self.client, self.request, config, LIMIT).await?;
        Ok(status.version)
    }

    /// Looks for a shell, tools and a directory with free space in the etcd container, and returns the directory.
    ///
    /// # Errors
    /// The container lacks a tool or free space.
    pub async fn exec(&self) -> Result<String, TransportError> {
        let shell = ContainerShell::new(self.request.member);
        let tools = shell.probe(self.client, self.request).await?;
        let directories = tools.directories_with_space(self.request, &shell.place())?;
        Ok(directories.first().map(|directory| directory.path.clone()).unwrap_or_default())
    }

    /// Checks the node, and builds the job. `extends_ttl`: the job's TTL can be extended during the copy.
    pub async fn node(&self, extends_ttl: bool) -> NodePlan {
        let (client, request) = (self.client, self.request);
        let checked = preflight::check(client, request.member, request.db_size).await;
        let pod_logs = checked.as_ref().map_or(preflight::POD_LOGS, |checked| checked.pod_logs.path.as_str());
        let job = JobPlan::new(request)
            .map(|plan| plan.spec(&unique_name(), plan.first_variant(), pod_logs, extends_ttl).job());
        let image = images(request).into_iter().next();
        let image_is_there = match &image {
            Some(image) => has_image(client, &request.member.node, image).await,
            None => None,
        };
        let (node, warnings) = match checked {
            Ok(checked) => (Ok(checked.free_space), checked.warnings),
            Err(error) => (Err(error), Vec::new()),
        };
        NodePlan { job, image, image_is_there, node, warnings }
    }
}

/// What the transport `node` would create, and what the node reports.
#[derive(Debug)]
pub struct NodePlan {
    /// The job, with a name that the real one will not have; else why it cannot be built.
    pub job: Result<Job, TransportError>,
    /// The image that it would use.
    pub image: Option<String>,
    /// Whether the node lists that image; `None` if that is unknown.
    pub image_is_there: Option<bool>,
    /// Free space on the node, if it reports that; else why the snapshot cannot be taken there.
    pub node: Result<Option<DiskSpace>, TransportError>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

impl NodePlan {
    /// Returns why a backup would try the next transport instead.
    pub fn unavailable(&self) -> Option<&Error> {
        match (&self.node, &self.job) {
            (Err(TransportError::Unavailable(error)), _) | (_, Err(TransportError::Unavailable(error))) => Some(error),
            _ => None,
        }
    }
}

/// Returns whether the node lists the image. The kubelet lists the fifty largest only (`nodeStatusMaxImages`), so an
/// image that is not listed may still be there.
async fn has_image(client: &KubeClient, node: &str, image: &str) -> Option<bool> {
    let node = client.node(node).await.ok()?;
    let images = node.status?.images?;
    let listed = images.iter().any(|known| known.names.iter().flatten().any(|name| name == image));
    (listed || images.len() < 50).then_some(listed)
}
