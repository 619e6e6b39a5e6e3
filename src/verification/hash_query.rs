//! Asks the members for their HashKV, for the comparison with a file.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;

use super::comparison::{HashRound, VotingMember};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::hash_kv::{self, HashLimits, HashRequest};
use crate::etcd::{Member, MemberSet, MemberState, Options};
use crate::k8s::KubeClient;

/// The members of one cluster, ready to be asked.
#[derive(Clone, Copy)]
pub struct HashQuery<'a> {
    pub client: &'a KubeClient,
    pub members: &'a MemberSet,
    pub options: &'a Options,
    pub limits: HashLimits,
}

impl HashQuery<'_> {
    /// The hash of each member that may be asked, at `revision`; what is known from an `earlier` round is not asked for
    /// again. Their state is looked at anew: an alarm or another leader may have come since the members were last
    /// asked.
    pub async fn round(&self, revision: i64, earlier: Option<&HashRound>) -> HashRound {
        let MemberSet { members, verified_origin, .. } = self.members;
        let now = match self.members.refresh_status(self.client, self.options).await {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::info!(%error, "the members' state is unknown");
                vec![None; members.len()]
            }
        };
        let endpoint = self.options.pod.endpoint.as_deref();
        let ask = async |index: usize| {
            if let Some(known) = earlier.and_then(|round| round.answer(index, revision)) {
                return Ok(known);
            }
            let MemberState { member, credentials, .. } = &members[index];
            let id = now[index].as_ref().map_or(0, |status| status.id);
            let request = HashRequest { client: self.client, member, id, revision, limit: self.limits.time };
            if let Some(config) = self.client_config(member).await {
                return request.via_grpc(&config).await;
            }
            let mut usable = credentials.iter().filter(|candidate| candidate.usable_in_etcd_container);
            let credentials = usable.find(|candidate| verified_origin.is_none_or(|origin| origin == candidate.origin));
            request.via_exec(credentials, endpoint).await
        };
        HashRound { replies: hash_kv::query_hashes(&now, self.limits, ask).await }
    }

    /// What opens `member` directly: where certificates were given, or where no command in a pod gave an answer.
    async fn client_config(&self, member: &Member) -> Option<ClientConfig> {
        let options = &self.options.client;
        if !options.are_given() && self.members.verified_origin.is_some() {
            return None;
        }
        let endpoint = self.options.pod.endpoint.as_deref();
        ClientConfig::from_flags(self.client, member, options, endpoint).await.ok().flatten()
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
        member: &MemberState,
    ) -> Option<HashRound> {
        let revision = member.revision()?;
        let due = async { begun.await && (tokio::time::sleep(after).await, true).1 };
        tokio::select! {
            biased;
            () = arrived.notified() => None,
            due = due => if due { Some(self.round(revision, None).await) } else { None },
        }
    }

    /// The members as they are named and counted, those without a pod behind the others.
    pub fn voting_members(&self) -> Vec<VotingMember> {
        let with_pod = self.members.members.iter().map(|state| VotingMember {
            name: state.member.name.clone(),
            votes: !state.status().is_some_and(|status| status.learner),
        });
        let without_pod = self.members.unmatched.iter().map(|member| VotingMember {
            name: format!("a member without a pod {}", member.endpoint).trim_end().to_owned(),
            votes: member.votes,
        });
        with_pod.chain(without_pod).collect()
    }
}
