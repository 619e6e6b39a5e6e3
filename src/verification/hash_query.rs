//! Asks the members for their HashKV, so that a file can be compared with them.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;

use super::comparison::{HashRound, VotingMember};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::etcd::hash_kv::{self, HashLimits, HashRequest};
use crate::etcd::{Member, MemberSet, MemberState, Options};
use crate::k8s::KubeClient;

/// The members of one cluster, and the limits within which they may be asked.
#[derive(Clone, Copy)]
pub struct HashQuery<'a> {
    pub client: &'a KubeClient,
    pub members: &'a MemberSet,
    pub options: &'a Options,
    pub limits: HashLimits,
}

impl HashQuery<'_> {
    /// Asks each member that may be asked for its hash at `revision`, except for those whose hash an `earlier` round
    /// holds. First it refreshes their status, because an alarm or another leader may have come up since discovery.
    pub async fn query_members(&self, revision: i64, earlier: Option<&HashRound>) -> HashRound {
        let MemberSet { members, verified_origin, .. } = self.members;
        let statuses = match self.members.refresh_status(self.client, self.options).await {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::info!(%error, "the status of the members is unknown");
                vec![None; members.len()]
            }
        };
        let endpoint = self.options.pod.endpoint.as_deref();
        let ask = async |index: usize| {
            if let Some(known) = earlier.and_then(|round| round.hash_of_member(index, revision)) {
                return Ok(known);
            }
            let MemberState { member, credentials, .. } = &members[index];
            let id = statuses[index].as_ref().map_or(0, |status| status.id);
            let request = HashRequest { client: self.client, member, id, revision, limit: self.limits.time };
            if let Some(config) = self.find_client_config(member).await {
                return request.via_grpc(&config).await;
            }
            let mut usable = credentials.iter().filter(|candidate| candidate.usable_in_etcd_container);
            let credentials = usable.find(|candidate| verified_origin.is_none_or(|origin| origin == candidate.origin));
            request.via_exec(credentials, endpoint).await
        };
        HashRound { replies: hash_kv::query_hashes(&statuses, self.limits, ask).await }
    }

    /// Returns the configuration of a direct connection to `member`, if certificates were given, or if etcdctl did not
    /// work in any pod.
    async fn find_client_config(&self, member: &Member) -> Option<ClientConfig> {
        let options = &self.options.client;
        if !options.are_given() && self.members.verified_origin.is_some() {
            return None;
        }
        let endpoint = self.options.pod.endpoint.as_deref();
        ClientConfig::from_flags(self.client, member, options, endpoint).await.ok().flatten()
    }

    /// Asks the members during a copy that takes longer than `after`, at the revision that `member` had before the run.
    /// etcd may have compacted that revision when the copy ends. The copy has `begun`, so the file holds the revision,
    /// and etcd has read much of its database into memory, which makes the hash cheap. Returns `None` for a copy that
    /// has `arrived` earlier.
    pub async fn query_during_copy(
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
            due = due => if due { Some(self.query_members(revision, None).await) } else { None },
        }
    }

    /// Returns the members as they are named and counted, first those with a pod, then those without.
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
