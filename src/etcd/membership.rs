//! The members of one cluster: discovery, status and certificate expiry.

use std::time::Duration;

use futures::future::join_all;

use super::certificate_expiry::{Expiry, query_expiry};
use super::credentials::pod_paths;
use super::discovery;
use super::member_state::{self, MemberProbe, MemberState, MemberWarning};
use super::member_status::MemberStatus;
use super::options::Options;
use super::status::{Statuses, via_exec, via_grpc};
use super::unmatched::UnmatchedMember;
use crate::error::Result;
use crate::k8s::KubeClient;

/// The longest time for the TLS handshake with a member.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

/// The members with a pod, and what is known of the others.
#[derive(Debug)]
pub struct MemberSet {
    pub members: Vec<MemberState>,
    /// The origin of the credentials that etcd accepted in a pod.
    pub verified_origin: Option<&'static str>,
    /// The members that etcd lists and that have no pod.
    pub unmatched: Vec<UnmatchedMember>,
    /// What is unknown about the members, and why.
    pub warnings: Vec<MemberWarning>,
}

impl MemberSet {
    /// Finds the etcd pods and their credentials. No request is sent to etcd yet.
    ///
    /// # Errors
    /// There are no etcd pods, or listing pods is not allowed.
    pub async fn discover(client: &KubeClient, options: &Options) -> Result<Self> {
        let found = discovery::members(client, options.namespace.as_deref(), options.selector.as_deref()).await?;
        let mut members = Vec::with_capacity(found.len());
        for member in found {
            let api_servers = discovery::api_servers(client, &member.node).await;
            members.push(MemberState {
                credentials: pod_paths::candidates(&member, &api_servers, &options.pod),
                member,
                probe: MemberProbe::Unknown("it was not asked".to_owned()),
                certificate_expiry: None,
            });
        }
        Ok(MemberSet { members, verified_origin: None, unmatched: Vec::new(), warnings: Vec::new() })
    }

    /// Asks all members for their status.
    ///
    /// # Errors
    /// The certificates or the user that the options name cannot be used.
    pub async fn probe(&mut self, client: &KubeClient, options: &Options) -> Result<()> {
        let mut found = self.query_statuses(client, options).await?;
        found.finalize(&self.members);
        for (state, probe) in self.members.iter_mut().zip(found.probes) {
            state.probe = probe.unwrap_or_else(|| MemberProbe::Unknown("it was not asked".to_owned()));
        }
        (self.warnings, self.verified_origin, self.unmatched) =
            (found.warnings, found.verified_origin, found.unmatched);
        Ok(())
    }

    /// Returns the current status of each member, in the order of the members; `None` if it is unknown.
    ///
    /// # Errors
    /// The certificates or the user that the options name cannot be used.
    pub async fn refresh_status(&self, client: &KubeClient, options: &Options) -> Result<Vec<Option<MemberStatus>>> {
        let probes = self.query_statuses(client, options).await?.probes;
        Ok(probes.into_iter().map(|probe| probe.and_then(|probe| probe.status().cloned())).collect())
    }

    /// Asks etcd's own API first if certificates were given, else etcdctl in the pods. The second way fills what the
    /// first one leaves open.
    async fn query_statuses(&self, client: &KubeClient, options: &Options) -> Result<Statuses> {
        let has_certificates = options.client.are_given();
        let mut found = Statuses::unknown(self.members.len());
        if has_certificates {
            via_grpc::fill_statuses(client, &self.members, options, &mut found).await?;
        }
        if found.is_incomplete() {
            via_exec::fill_statuses(client, &self.members, options.pod.endpoint.as_deref(), &mut found).await;
        }
        if found.is_incomplete() && !has_certificates {
            via_grpc::fill_statuses(client, &self.members, options, &mut found).await?;
        }
        Ok(found)
    }

    /// Asks each member when its server certificate expires.
    pub async fn probe_certificates(&mut self, client: &KubeClient, options: &Options) {
        let endpoint = options.pod.endpoint.as_deref();
        let queries = self.members.iter().map(|state| query_expiry(client, &state.member, endpoint, EXPIRY_LIMIT));
        let expiries = join_all(queries).await;
        let mut unknown = Vec::new();
        for (state, expiry) in self.members.iter_mut().zip(expiries) {
            if let Expiry::Unknown(reason) = &expiry {
                unknown.push((state.member.name.clone(), reason.clone()));
            }
            state.certificate_expiry = Some(expiry);
        }
        let Some((_, first)) = unknown.first() else { return };
        if unknown.len() == self.members.len() && unknown.iter().all(|(_, reason)| reason == first) {
            let message = format!("the expiry of the server certificates is unknown: {first}");
            self.warnings.push(MemberWarning { message, reason: Some(first.clone()) });
        } else {
            self.warnings.extend(unknown.into_iter().map(|(name, reason)| MemberWarning {
                message: format!("the expiry of the server certificate of member {name} is unknown: {reason}"),
                reason: Some(reason),
            }));
        }
    }

    /// Reports whether etcd has a quorum; `None` if no member answered.
    pub fn has_quorum(&self) -> Option<bool> {
        member_state::has_quorum(self.members.iter().map(|state| &state.probe))
    }

    /// Returns the highest raft index of all members; the others lag behind it.
    pub fn newest_raft_index(&self) -> u64 {
        self.members.iter().filter_map(MemberState::status).map(|status| status.raft_index).max().unwrap_or_default()
    }
}
