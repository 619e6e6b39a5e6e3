//! What the transport `node` would do, for those who want to know before.

use k8s_openapi::api::batch::v1::Job;

use super::job::{Limits, Plan, random_name};
use super::node::{images, no_credentials};
use super::preflight;
use super::request::Request;
use crate::cluster::{Cluster, Room};
use crate::error::Result;
use crate::etcd::credentials::Credentials;

/// What would be created, and what the node says.
#[derive(Debug)]
pub struct Preview {
    /// The job, with a name that the true one will not have; else why there would be none.
    pub job: Result<Job>,
    /// Its image.
    pub image: Option<String>,
    /// The image is on the node already; `None` when the node does not tell.
    pub image_is_there: Option<bool>,
    /// Room on the node, when it is healthy and serves files; else why no snapshot would be taken there.
    pub node: Result<Option<Room>>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

/// Asks the node as a backup would, and builds the job. `renewable`: the job's time can be prolonged while copying.
pub async fn preview(cluster: &Cluster, request: &Request<'_>, renewable: bool) -> Preview {
    let checked = preflight::check(cluster, request.member, request.db_size).await;
    let image = images(request).into_iter().next();
    let pod_logs = checked.as_ref().map_or("/var/log/pods", |checked| checked.pod_logs.path.as_str());
    let usable: Option<&Credentials> = request.credentials.iter().find(|candidate| candidate.mounts.is_some());
    let endpoint = request.endpoint.clone().unwrap_or_else(|| request.member.endpoint_from_node());
    let name = random_name();
    let job = match (usable, &image) {
        (Some(credentials), Some(image)) => Ok(Plan {
            name: &name,
            member: request.member,
            image,
            endpoint: &endpoint,
            credentials,
            pod_logs,
            override_owner: request.member.runs_as_other_user(),
            probe: credentials.pair.is_some() && !request.first_works,
            limits: Limits::new(
                request.db_size,
                if renewable { request.lease } else { request.deadline },
                request.deadline,
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
    Preview { job, image, image_is_there, node, warnings }
}

/// Whether the node lists the image. The kubelet lists the fifty largest only (`nodeStatusMaxImages`), so an image that
/// is not listed may still be there.
async fn has_image(cluster: &Cluster, node: &str, image: &str) -> Option<bool> {
    let node = cluster.node(node).await.ok()?;
    let images = node.status?.images?;
    let listed = images.iter().any(|known| known.names.iter().flatten().any(|name| name == image));
    (listed || images.len() < 50).then_some(listed)
}
