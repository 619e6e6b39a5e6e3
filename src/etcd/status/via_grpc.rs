//! Asks etcd's own API for the status of the members, for users who have its certificates, or whose etcd serves plain
//! http, and who may not run commands in its pods.

use std::time::Duration;

use futures::future::join_all;

use super::Statuses;
use super::parse::status_from_grpc;
use crate::error::{Error, Result};
use crate::etcd::client::{EtcdClient, ListedMember};
use crate::etcd::connect_error::ConnectError;
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::member::Member;
use crate::etcd::member_state::{MemberProbe, MemberState};
use crate::etcd::member_status::MemberStatus;
use crate::etcd::options::Options;
use crate::etcd::unmatched::MemberListEntry;
use crate::k8s::KubeClient;

const LIMIT: Duration = Duration::from_secs(10);

/// Asks each member that has no status in `found` yet.
///
/// # Errors
/// The certificates or the user that the options name cannot be used.
pub async fn fill_statuses(
    client: &KubeClient,
    members: &[MemberState],
    options: &Options,
    found: &mut Statuses,
) -> Result<()> {
    let endpoint = options.pod.endpoint.as_deref();
    let mut configs = Vec::new();
    for (index, state) in members.iter().enumerate() {
        if found.status(index).is_some() {
            continue;
        }
        match ClientConfig::from_flags(client, &state.member, &options.client, endpoint).await {
            Ok(Some(config)) => configs.push((index, config)),
            Ok(None) => {}
            // A Secret that may not be read stops no other way of taking a snapshot.
            Err(ConnectError::Unavailable(error)) => found.set_unknown(index, error.message()),
            Err(ConnectError::Failed(error)) => return Err(error),
        }
    }
    let queries = configs.iter().map(|(index, config)| query_member(client, &members[*index].member, config));
    let answers = join_all(queries).await;
    for ((index, _), answer) in configs.iter().zip(answers) {
        match answer {
            Ok((status, listed)) => {
                if !listed.is_empty() {
                    found.listed = listed.into_iter().map(MemberListEntry::from).collect();
                }
                found.probes[*index] = Some(MemberProbe::Ok(status));
            }
            Err(error) => found.set_unknown(*index, error.message()),
        }
    }
    Ok(())
}

async fn query_member(
    client: &KubeClient,
    member: &Member,
    config: &ClientConfig,
) -> Result<(MemberStatus, Vec<ListedMember>)> {
    let mut etcd = EtcdClient::connect(client, member, config, LIMIT).await?;
    let status = etcd.status(LIMIT).await?;
    let status = status_from_grpc(status)
        .ok_or_else(|| Error::failed("cannot read the status that etcd sent: it names no member"))?;
    // A learner does not list members.
    Ok((status, etcd.members(LIMIT).await.unwrap_or_default()))
}
