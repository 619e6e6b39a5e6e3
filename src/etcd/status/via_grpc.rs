//! The members' status over a connection straight to etcd: for those who have its certificates, or whose etcd serves
//! plain http, and may not run commands in its pods.

use std::time::Duration;

use futures::future::join_all;

use super::parse::MemberStatus;
use super::{Silence, Statuses};
use crate::cli::EtcdClientArgs;
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::etcd::client::{EtcdClient, ListedMember};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::unmatched::MemberListEntry;
use crate::k8s::KubeClient;
use crate::ui::Ui;

const LIMIT: Duration = Duration::from_secs(10);

/// Asks each member that `found` knows nothing of.
///
/// # Errors
/// What was given to open etcd cannot be used at all.
pub async fn fill(
    cluster: &KubeClient,
    members: &[Member],
    args: &EtcdClientArgs,
    endpoint: Option<&str>,
    ui: &Ui,
    found: &mut Statuses,
) -> Result<()> {
    let mut asked = Vec::new();
    for (index, member) in members.iter().enumerate().filter(|(index, _)| found.of[*index].is_none()) {
        match ClientConfig::from_flags(cluster, member, args, endpoint, ui).await {
            Ok(Some(opening)) => asked.push((index, opening)),
            Ok(None) => {}
            // A Secret that may not be read stops no other way of taking a snapshot.
            Err(error) if error.allows_another_way() => {
                found.silent[index].get_or_insert(Silence::Unknown(error.message().to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    let answers = join_all(asked.iter().map(|(index, opening)| ask(cluster, &members[*index], opening))).await;
    for ((index, _), answer) in asked.iter().zip(answers) {
        match answer {
            Ok((status, listed)) => {
                if !listed.is_empty() {
                    found.listed = listed.into_iter().map(MemberListEntry::from).collect();
                }
                found.of[*index] = Some(status);
                found.silent[*index] = None;
            }
            Err(error) => {
                found.silent[*index].get_or_insert(Silence::Unknown(error.message().to_owned()));
            }
        }
    }
    Ok(())
}

async fn ask(
    cluster: &KubeClient,
    member: &Member,
    opening: &ClientConfig,
) -> Result<(MemberStatus, Vec<ListedMember>)> {
    let mut rpc = EtcdClient::connect(cluster, member, opening, LIMIT).await?;
    let status = rpc.status(LIMIT).await?;
    let status =
        MemberStatus::from_status_response(status).ok_or_else(|| Error::failed("etcd's answer makes no sense"))?;
    // A learner lists none.
    Ok((status, rpc.members(LIMIT).await.unwrap_or_default()))
}
