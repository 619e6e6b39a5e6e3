//! Asking the members what they hold, for the comparison with a file.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;

use super::comparison::{HashRound, VotingMember};
use crate::cli::{Cli, HashCheckArgs};
use crate::commands::members::select::MemberSet;
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::hash_kv;
use crate::etcd::hash_kv::{Asked, HashLimits};
use crate::etcd::{Member, MemberStatus};
use crate::k8s::KubeClient;
use crate::ui::Ui;

/// The members of one cluster, ready to be asked.
#[derive(Clone, Copy)]
pub struct HashQuery<'a> {
    cli: &'a Cli,
    cluster: &'a KubeClient,
    field: &'a MemberSet,
    ui: &'a Ui,
    limits: HashLimits,
}

impl<'a> HashQuery<'a> {
    pub fn new(
        cli: &'a Cli,
        content: &HashCheckArgs,
        cluster: &'a KubeClient,
        field: &'a MemberSet,
        ui: &'a Ui,
    ) -> Self {
        let limits = HashLimits { max_size: content.content_max_size, time: content.content_timeout };
        HashQuery { cli, cluster, field, ui, limits }
    }

    /// The hash of each member that may be asked, at `revision`; what is known from an `earlier` round is not asked for
    /// again. Their state is looked at anew: an alarm or another leader may have come since the members were last
    /// asked.
    pub async fn round(&self, revision: i64, earlier: Option<&HashRound>) -> HashRound {
        let MemberSet { members, candidates, worked, .. } = self.field;
        let now = match self.field.refresh_status(self.cli, self.cluster, self.ui).await {
            Ok(found) => found.of,
            Err(error) => {
                tracing::info!(%error, "the members' state is unknown");
                vec![None; members.len()]
            }
        };
        let endpoint = self.cli.backup.pod.pod_endpoint.as_deref();
        let ask = async |index: usize| {
            if let Some(known) = earlier.and_then(|round| round.answer(index, revision)) {
                return Ok(known);
            }
            let member = &members[index];
            let asked = Asked { member, id: now[index].as_ref().map_or(0, |status| status.id) };
            if let Some(opening) = self.opening(member).await {
                return hash_kv::by_rpc(self.cluster, asked, &opening, revision, self.limits.time).await;
            }
            let mut usable = candidates[index].iter().filter(|candidate| candidate.usable_in_etcd_container);
            let credentials = usable.find(|candidate| worked.is_none_or(|worked| worked == candidate.origin));
            hash_kv::by_exec(self.cluster, asked, credentials, endpoint, revision, self.limits.time).await
        };
        HashRound { replies: hash_kv::gather(&now, self.limits, ask).await }
    }

    /// What opens `member` straight: where certificates were given, or where no command in a pod gave an answer.
    async fn opening(&self, member: &Member) -> Option<ClientConfig> {
        let args = &self.cli.backup.etcd;
        if !args.are_given() && self.field.worked.is_some() {
            return None;
        }
        let endpoint = self.cli.backup.pod.pod_endpoint.as_deref();
        ClientConfig::from_flags(self.cluster, member, args, endpoint, self.ui).await.ok().flatten()
    }

    /// The round that a slow copy needs: at the revision that `member` had before anything was done, which etcd may have
    /// forgotten when the copy ends. By then the file is sure to hold it, as the copy has begun. A copy that has
    /// `arrived` within `after` needs none, and by then etcd has read the whole database of `member` into memory, which
    /// makes its hash cheap.
    pub async fn while_copying(
        &self,
        begun: impl Future<Output = bool>,
        arrived: &Notify,
        after: Duration,
        member: usize,
    ) -> Option<HashRound> {
        let revision = self.revision_of(member)?;
        let due = async { begun.await && (tokio::time::sleep(after).await, true).1 };
        tokio::select! {
            biased;
            () = arrived.notified() => None,
            due = due => if due { Some(self.round(revision, None).await) } else { None },
        }
    }

    /// The revision that a member had when it was looked at first.
    pub fn revision_of(&self, member: usize) -> Option<i64> {
        let status = self.field.statuses[member].as_ref()?;
        i64::try_from(status.revision).ok().filter(|revision| *revision > 0)
    }

    /// The members as they are named and counted, those without a pod behind the others.
    pub fn voters(&self) -> Vec<VotingMember> {
        let members = self.field.members.iter().zip(&self.field.statuses);
        members
            .map(|(member, status)| VotingMember {
                name: member.name.clone(),
                votes: !status.as_ref().is_some_and(|status: &MemberStatus| status.learner),
            })
            .chain(self.field.unmatched.iter().map(|stranger| VotingMember {
                name: format!("a member without a pod {}", stranger.endpoint).trim_end().to_owned(),
                votes: stranger.votes,
            }))
            .collect()
    }
}
