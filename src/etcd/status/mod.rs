//! The status of all members, collected from etcdctl in the pods ([`via_exec`]) and from etcd's own API ([`via_grpc`]).

mod parse;
pub mod via_exec;
pub mod via_grpc;

use super::member::Member;
use super::member_state::{MemberProbe, MemberState, MemberWarning, has_quorum};
use super::member_status::MemberStatus;
use super::unmatched::{MemberListEntry, UnmatchedMember, find_unmatched};

/// What was collected about the members, in their order.
#[derive(Debug, Default)]
pub struct Statuses {
    /// `None` for a member that was not asked yet.
    pub probes: Vec<Option<MemberProbe>>,
    /// The origin of the credentials that etcd accepted in the first pod that answered.
    pub verified_origin: Option<&'static str>,
    /// The members without a pod; set by [`Statuses::finalize`].
    pub unmatched: Vec<UnmatchedMember>,
    /// The members that etcd lists.
    pub listed: Vec<MemberListEntry>,
    /// Why etcd did not list its members.
    pub list_failure: Option<String>,
    /// What is unknown about the members; set by [`Statuses::finalize`].
    pub warnings: Vec<MemberWarning>,
}

impl Statuses {
    /// Creates the statuses of members that were not asked yet.
    pub fn unknown(members: usize) -> Self {
        Statuses { probes: vec![None; members], ..Statuses::default() }
    }

    /// Reports whether the status of a member is missing.
    pub fn is_incomplete(&self) -> bool {
        (0..self.probes.len()).any(|index| self.status(index).is_none())
    }

    /// Finds the members without a pod, and warns of what is unknown.
    pub fn finalize(&mut self, members: &[MemberState]) {
        let asked: Vec<(&Member, Option<&MemberStatus>)> =
            members.iter().enumerate().map(|(index, state)| (&state.member, self.status(index))).collect();
        self.unmatched = find_unmatched(&asked, &self.listed);
        self.warnings = self.unmatched.iter().map(unmatched_warning).collect();
        self.warnings.extend(self.unknown_warning());
    }

    fn status(&self, index: usize) -> Option<&MemberStatus> {
        self.probes[index].as_ref().and_then(MemberProbe::status)
    }

    /// Records why a member has no status; the first reason stays.
    fn set_unknown(&mut self, index: usize, reason: &str) {
        self.probes[index].get_or_insert_with(|| MemberProbe::Unknown(reason.to_owned()));
    }

    fn unknown_warning(&self) -> Option<MemberWarning> {
        let probes = || self.probes.iter().flatten();
        let first_reason = probes().find_map(MemberProbe::reason);
        let (message, reason) = match (first_reason, &self.list_failure) {
            (Some(reason), _) if probes().all(|probe| probe.status().is_none()) => {
                (format!("roles and health of the members are unknown: {reason}"), Some(reason.to_owned()))
            }
            _ if has_quorum(probes()) == Some(false) => {
                let message = "etcd has lost its quorum: no member knows a leader; a member can still be backed up";
                (message.to_owned(), None)
            }
            (_, Some(reason)) if self.is_incomplete() => {
                (format!("cannot list the members of etcd: {reason}"), Some(reason.clone()))
            }
            _ => return None,
        };
        Some(MemberWarning { message, reason })
    }
}

fn unmatched_warning(member: &UnmatchedMember) -> MemberWarning {
    let name = if member.endpoint.is_empty() {
        "a member that has not started yet and".to_owned()
    } else if member.silent {
        format!("a member at {} that does not answer and", member.endpoint)
    } else {
        format!("a member at {} that", member.endpoint)
    };
    MemberWarning { message: format!("etcd lists {name} has no pod; it is not shown"), reason: None }
}
