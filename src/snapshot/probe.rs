//! What a backup would do, for those who want to know before. Nothing here creates anything.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;

use super::Transport;
use super::choice::{none_open, open};
use super::exec::container::Shell;
use super::node::job::{JobLimits, JobSpec, random_name};
use super::node::preflight;
use super::node::{images, no_credentials};
use super::request::Request;
use crate::error::{Error, Result};
use crate::etcd::client::EtcdClient;
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::credentials::pod_paths::Credentials;
use crate::k8s::{DiskSpace, KubeClient};

/// How long etcd may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The transports that a backup would try, in this order.
pub struct TransportProbe<'r> {
    cluster: &'r KubeClient,
    request: &'r Request<'r>,
    opening: Option<ClientConfig>,
    closed: Vec<(Transport, Error)>,
    /// The transports.
    pub transports: Vec<Transport>,
}

impl<'r> TransportProbe<'r> {
    /// Finds out what would be tried.
    ///
    /// # Errors
    /// What was given to open etcd cannot be used.
    pub async fn new(cluster: &'r KubeClient, request: &'r Request<'r>) -> Result<Self> {
        let (opening, closed) = open(cluster, request).await?;
        let transports = request.transport.candidates(opening.is_some());
        Ok(TransportProbe { cluster, request, opening, closed, transports })
    }

    /// `transport` is not open: a backup would go on with the next one.
    pub fn close(&mut self, transport: Transport, error: Error) {
        self.closed.push((transport, error));
    }

    /// The error of a backup for which no transport is open.
    pub fn none_open(self) -> Error {
        none_open(self.request, self.closed)
    }

    /// Connects to etcd and asks for its status; etcd's version.
    ///
    /// # Errors
    /// etcd cannot be reached, is not trusted, or does not let us in.
    pub async fn direct(&self) -> Result<String> {
        let Some(opening) = &self.opening else {
            return Err(Error::not_possible("there are no certificates that etcd accepts"));
        };
        let mut rpc = EtcdClient::connect(self.cluster, self.request.member, opening, LIMIT).await?;
        Ok(rpc.status(LIMIT).await?.version)
    }

    /// Looks for a shell, tools and a directory with room in the etcd container; the directory.
    ///
    /// # Errors
    /// The container does not have what it takes, or too little room.
    pub async fn exec(&self) -> Result<String> {
        let shell = Shell::of(self.request);
        let tools = shell.probe(self.cluster, self.request).await?;
        let data = self.request.member.settings.get("data-dir");
        let directories = tools.with_room(self.request.db_size, data, &shell.place())?;
        Ok(directories.first().map(|directory| directory.path.clone()).unwrap_or_default())
    }

    /// Asks the node, and builds the job. `renewable`: the job's time can be prolonged while copying.
    pub async fn node(&self, renewable: bool) -> NodePlan {
        preview(self.cluster, self.request, renewable).await
    }
}

/// What the transport `node` would create, and what the node says.
#[derive(Debug)]
pub struct NodePlan {
    /// The job, with a name that the true one will not have; else why there would be none.
    pub job: Result<Job>,
    /// Its image.
    pub image: Option<String>,
    /// The image is on the node already; `None` when the node does not tell.
    pub image_is_there: Option<bool>,
    /// Room on the node, when it is healthy and serves files; else why no snapshot would be taken there.
    pub node: Result<Option<DiskSpace>>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

async fn preview(cluster: &KubeClient, request: &Request<'_>, renewable: bool) -> NodePlan {
    let checked = preflight::check(cluster, request.member, request.db_size).await;
    let image = images(request).into_iter().next();
    let pod_logs = checked.as_ref().map_or("/var/log/pods", |checked| checked.pod_logs.path.as_str());
    let usable: Option<&Credentials> = request.credentials.iter().find(|candidate| candidate.mounts.is_some());
    let endpoint = request.endpoint.clone().unwrap_or_else(|| request.member.endpoint_from_node());
    let name = random_name();
    let job = match (usable, &image) {
        (Some(credentials), Some(image)) => Ok(JobSpec {
            name: &name,
            member: request.member,
            image,
            endpoint: &endpoint,
            credentials,
            pod_logs,
            override_owner: request.member.runs_as_other_user(),
            probe: credentials.client_cert.is_some() && !request.first_verified,
            limits: JobLimits::new(
                request.db_size,
                if renewable { request.limits.job_ttl } else { request.limits.deadline },
                request.limits.deadline,
            ),
        }
        .job()),
        _ => Err(no_credentials(request)),
    };
    let image_is_there = match &image {
        Some(image) => has_image(cluster, &request.member.node, image).await,
        None => None,
    };
    let (node, warnings) = match checked {
        Ok(checked) => (Ok(checked.room), checked.warnings),
        Err(error) => (Err(error), Vec::new()),
    };
    NodePlan { job, image, image_is_there, node, warnings }
}

/// Whether the node lists the image. The kubelet lists the fifty largest only (`nodeStatusMaxImages`), so an image that
/// is not listed may still be there.
async fn has_image(cluster: &KubeClient, node: &str, image: &str) -> Option<bool> {
    let node = cluster.node(node).await.ok()?;
    let images = node.status?.images?;
    let listed = images.iter().any(|known| known.names.iter().flatten().any(|name| name == image));
    (listed || images.len() < 50).then_some(listed)
}
