//! The members of one cluster as a run knows them: each with its pod, its answer and what opens it.

use std::time::Duration;

use futures::future::join_all;

use super::credentials::pod_paths::{self, Credentials};
use super::options::Options;
use super::status::{self, Statuses, via_grpc};
use super::{Expiry, Member, MemberStatus, UnmatchedMember, discovery, expiry};
use crate::error::Result;
use crate::k8s::KubeClient;

/// How long a member may take to show its certificate.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

/// What a member answered when it was asked for its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberProbe {
    Ok(MemberStatus),
    /// It was asked and does not serve, or its pod says that it does not; the reason.
    Down(String),
    /// It could not be asked, so nothing is known of it; the reason.
    Unknown(String),
}

impl MemberProbe {
    pub fn status(&self) -> Option<&MemberStatus> {
        match self {
            MemberProbe::Ok(status) => Some(status),
            MemberProbe::Down(_) | MemberProbe::Unknown(_) => None,
        }
    }

    /// Returns why there is no status.
    pub fn reason(&self) -> Option<&str> {
        match self {
            MemberProbe::Ok(_) => None,
            MemberProbe::Down(reason) | MemberProbe::Unknown(reason) => Some(reason),
        }
    }
}

/// One member with all that is known of it.
#[derive(Debug)]
pub struct MemberState {
    pub member: Member,
    pub probe: MemberProbe,
    /// What may open it, best first.
    pub credentials: Vec<Credentials>,
    /// When its server certificate ends; `None` unless it was asked for.
    pub certificate_expiry: Option<Expiry>,
}

impl MemberState {
    pub fn status(&self) -> Option<&MemberStatus> {
        self.probe.status()
    }

    /// Returns the revision that the member had when it was asked, if it has any.
    pub fn revision(&self) -> Option<i64> {
        i64::try_from(self.status()?.revision).ok().filter(|revision| *revision > 0)
    }
}

/// All members that have a pod, and what is known of the others.
#[derive(Debug)]
pub struct MemberSet {
    pub members: Vec<MemberState>,
    /// Origin of the credentials that a pod's etcd accepted.
    pub verified_origin: Option<&'static str>,
    /// Members that etcd lists and that have no pod.
    pub unmatched: Vec<UnmatchedMember>,
    /// What could not be learned, and why.
    pub warnings: Vec<MemberWarning>,
}

/// Something that could not be learned of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberWarning {
    pub message: String,
    /// The reason in it, so that it is not told again for a single member.
    pub reason: Option<String>,
}

impl MemberSet {
    /// Finds the etcd pods and what may open them. Nothing is asked of etcd yet.
    ///
    /// # Errors
    /// There are no etcd pods, or they may not be listed.
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
    /// What was given to open etcd cannot be used at all.
    pub async fn probe(&mut self, client: &KubeClient, options: &Options) -> Result<()> {
        let mut found = self.statuses(client, options).await?;
        found.finalize(&self.members);
        for (state, probe) in self.members.iter_mut().zip(found.probes) {
            state.probe = probe.unwrap_or_else(|| MemberProbe::Unknown("it was not asked".to_owned()));
        }
        (self.warnings, self.verified_origin, self.unmatched) =
            (found.warnings, found.verified_origin, found.unmatched);
        Ok(())
    }

    /// Returns the status of each member at this moment, in the order of the members; `None` where it is unknown.
    ///
    /// # Errors
    /// What was given to open etcd cannot be used at all.
    pub async fn refresh_status(&self, client: &KubeClient, options: &Options) -> Result<Vec<Option<MemberStatus>>> {
        let probes = self.statuses(client, options).await?.probes;
        Ok(probes.into_iter().map(|probe| probe.and_then(|probe| probe.status().cloned())).collect())
    }

    /// Where certificates were given etcd is asked directly first, else etcdctl in the pods; each way fills what the
    /// other leaves open.
    async fn statuses(&self, client: &KubeClient, options: &Options) -> Result<Statuses> {
        let given = options.client.are_given();
        let mut found = Statuses::unknown(self.members.len());
        if given {
            via_grpc::fill(client, &self.members, options, &mut found).await?;
        }
        if found.is_incomplete() {
            status::gather(client, &self.members, options.pod.endpoint.as_deref(), &mut found).await;
        }
        if found.is_incomplete() && !given {
            via_grpc::fill(client, &self.members, options, &mut found).await?;
        }
        Ok(found)
    }

    /// Asks each member when its server certificate ends.
    pub async fn probe_certificates(&mut self, client: &KubeClient, options: &Options) {
        let endpoint = options.pod.endpoint.as_deref();
        let asked = self.members.iter().map(|state| expiry(client, &state.member, endpoint, EXPIRY_LIMIT));
        let expiries = join_all(asked).await;
        let mut unknown = Vec::new();
        for (state, expiry) in self.members.iter_mut().zip(expiries) {
            if let Expiry::Unknown(reason) = &expiry {
                unknown.push((state.member.name.clone(), reason.clone()));
            }
            state.certificate_expiry = Some(expiry);
        }
        let Some((_, first)) = unknown.first() else { return };
        if unknown.len() == self.members.len() && unknown.iter().all(|(_, reason)| reason == first) {
            let message = format!("the end of the server certificates is unknown: {first}");
            self.warnings.push(MemberWarning { message, reason: Some(first.clone()) });
        } else {
            self.warnings.extend(unknown.into_iter().map(|(name, reason)| MemberWarning {
                message: format!("the end of the server certificate of member {name} is unknown: {reason}"),
                reason: Some(reason),
            }));
        }
    }

    /// Reports whether etcd has a quorum: a member knows a leader only while there is one (etcd checks it once an
    /// election timeout). `None` when no member answered.
    pub fn has_quorum(&self) -> Option<bool> {
        status::has_quorum(self.members.iter().map(|state| &state.probe))
    }

    /// Returns the highest raft index that a member told; the others lag behind it.
    pub fn newest_raft_index(&self) -> u64 {
        self.members.iter().filter_map(MemberState::status).map(|status| status.raft_index).max().unwrap_or_default()
    }
}
