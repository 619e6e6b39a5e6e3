//! The members' status over a connection straight to etcd: for those who have its certificates, or whose etcd serves
//! plain http, and may not run commands in its pods.

use std::time::Duration;

use futures::future::join_all;

use super::Statuses;
use super::parse::MemberStatus;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::Options;
use crate::etcd::client::{EtcdClient, ListedMember};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::unmatched::MemberListEntry;
use crate::etcd::{Member, MemberProbe, MemberState};
use crate::k8s::KubeClient;

const LIMIT: Duration = Duration::from_secs(10);

/// Asks each member that `found` knows nothing of.
///
/// # Errors
/// What was given to open etcd cannot be used at all.
pub async fn fill(client: &KubeClient, members: &[MemberState], options: &Options, found: &mut Statuses) -> Result<()> {
    let endpoint = options.pod.endpoint.as_deref();
    let mut asked = Vec::new();
    for (index, state) in members.iter().enumerate() {
        if found.status(index).is_some() {
            continue;
        }
        match ClientConfig::from_flags(client, &state.member, &options.client, endpoint).await {
            Ok(Some(config)) => asked.push((index, config)),
            Ok(None) => {}
            // A Secret that may not be read stops no other way of taking a snapshot.
            Err(error) if error.kind() == ErrorKind::NotAllowed => found.note_unknown(index, error.message()),
            Err(error) => return Err(error),
        }
    }
    let answers = join_all(asked.iter().map(|(index, config)| ask(client, &members[*index].member, config))).await;
    for ((index, _), answer) in asked.iter().zip(answers) {
        match answer {
            Ok((status, listed)) => {
                if !listed.is_empty() {
                    found.listed = listed.into_iter().map(MemberListEntry::from).collect();
                }
                found.probes[*index] = Some(MemberProbe::Ok(status));
            }
            Err(error) => found.note_unknown(*index, error.message()),
        }
    }
    Ok(())
}

async fn ask(client: &KubeClient, member: &Member, config: &ClientConfig) -> Result<(MemberStatus, Vec<ListedMember>)> {
    let mut etcd = EtcdClient::connect(client, member, config, LIMIT).await?;
    let status = etcd.status(LIMIT).await?;
    let status =
        MemberStatus::from_status_response(status).ok_or_else(|| Error::failed("etcd's answer makes no sense"))?;
    // A learner lists none.
    Ok((status, etcd.members(LIMIT).await.unwrap_or_default()))
}
