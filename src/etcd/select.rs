//! Selects the member to back up: the named one, or the one that a backup burdens least.

use std::cmp::Reverse;

use super::member::Member;
use super::member_state::MemberState;
use crate::error::{Error, Result};

/// A member that is at most this many raft entries behind the most advanced one is caught up. The members are asked
/// milliseconds apart, and a busy cluster writes in between.
const MAX_LAG: u64 = 1000;

/// The value of `--member`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSelector<'n> {
    /// The member, pod or node with this name, in any state.
    Named(&'n str),
    Leader,
    /// The best follower.
    Follower,
}

impl<'n> MemberSelector<'n> {
    /// Parses the flag's value. A member with the name `leader` comes before the role.
    pub fn parse(word: &'n str, members: &[MemberState]) -> Self {
        match word {
            "leader" if find_by_name(members, word).is_none() => MemberSelector::Leader,
            "follower" if find_by_name(members, word).is_none() => MemberSelector::Follower,
            name => MemberSelector::Named(name),
        }
    }
}

fn find_by_name<'m>(members: &'m [MemberState], name: &str) -> Option<&'m MemberState> {
    let is_called = |member: &Member| member.pod_name == name || member.node == name || member.name == name;
    members.iter().find(|state| is_called(&state.member))
}

/// Returns the member that `--member` names by pod, node or member name, or by its role.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) if no member has the name; the hint lists the members.
/// [`Failed`](crate::error::ErrorKind::Failed) if no member has the role, or the roles are unknown.
pub fn select_member<'m>(members: &'m [MemberState], selector: MemberSelector<'_>) -> Result<&'m MemberState> {
    let no_role = |role: &str| {
        let cause = match members.iter().all(|state| state.status().is_none()) {
            true => "the roles of the members are unknown",
            false => "no healthy member that answers has this role",
        };
        Error::failed(format!("cannot select a {role}: {cause}"))
            .hint("name a member with --member; 'kubectl etcd-backup members' lists them")
    };
    let leads = |state: &MemberState| state.status().map(|status| status.leader);
    match selector {
        MemberSelector::Named(name) => find_by_name(members, name).ok_or_else(|| {
            let names: Vec<String> = members
                .iter()
                .map(|MemberState { member, .. }| {
                    format!("{} (node {}, member {})", member.pod_name, member.node, member.name)
                })
                .collect();
            Error::usage(format!("no etcd member is called \"{name}\""))
                .hint(format!("name one with --member: {}; or leader, or follower", names.join(", ")))
        }),
        MemberSelector::Leader => {
            members.iter().find(|state| leads(state) == Some(true)).ok_or_else(|| no_role("leader"))
        }
        MemberSelector::Follower => {
            let mut best = rank_members(members).into_iter().filter(|state| leads(state) == Some(false));
            best.next().ok_or_else(|| no_role("follower"))
        }
    }
}

/// Returns the members that may be backed up without being named, best first.
///
/// Healthy, caught-up followers come first, then the leader, then the others; learners and members with an alarm are left
/// out. If no status is known, the ready pods come first. Without a quorum, the member with the most data comes first.
pub fn rank_members(members: &[MemberState]) -> Vec<&MemberState> {
    let mut order: Vec<&MemberState> = members.iter().collect();
    if members.iter().all(|state| state.status().is_none()) {
        order.sort_by_key(|state| !state.member.is_ready());
        return order;
    }
    let newest = members.iter().filter_map(MemberState::status).map(|status| status.applied).max().unwrap_or_default();
    order.retain(|state| state.status().is_some_and(|status| !status.learner && status.alarms.is_empty()));
    order.sort_by_key(|state| {
        state.status().map(|status| {
            let behind = newest.saturating_sub(status.applied) > MAX_LAG;
            let lost = if status.has_leader { 0 } else { status.applied };
            (!state.member.is_ready(), !status.has_leader, Reverse(lost), behind, status.leader)
        })
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::member_state::MemberProbe;
    use crate::etcd::member_status::MemberStatus;
    use crate::test_support::pod;

    /// Members with these statuses, called `etcd-cp1` and so on.
    fn members(statuses: &[Option<MemberStatus>]) -> Vec<MemberState> {
        let state = |(index, status): (usize, &Option<MemberStatus>)| MemberState {
            member: Member::from_pod(pod(&format!("etcd-cp{}", index + 1), &["etcd"], true)).expect("it runs etcd"),
            probe: status.clone().map_or_else(|| MemberProbe::Unknown("forbidden".to_owned()), MemberProbe::Ok),
            credentials: Vec::new(),
            certificate_expiry: None,
        };
        statuses.iter().enumerate().map(state).collect()
    }

    fn status(leader: bool) -> MemberStatus {
        MemberStatus { leader, applied: 5000, has_leader: true, ..MemberStatus::default() }
    }

    /// The names of the members in their order, best first.
    fn ranked(statuses: &[Option<MemberStatus>]) -> Vec<String> {
        rank_members(&members(statuses)).into_iter().map(|state| state.member.pod_name.clone()).collect()
    }

    fn best(statuses: &[Option<MemberStatus>]) -> Option<String> {
        ranked(statuses).into_iter().next()
    }

    #[test]
    fn a_follower_is_preferred_to_the_leader() {
        assert_eq!(ranked(&[Some(status(true)), Some(status(false))]), ["etcd-cp2", "etcd-cp1"]);
    }

    #[test]
    fn a_follower_that_lags_comes_after_the_leader() {
        let lagging = MemberStatus { applied: 10, ..status(false) };
        assert_eq!(best(&[Some(status(true)), Some(lagging)]).as_deref(), Some("etcd-cp1"));
    }

    #[test]
    fn learners_and_members_with_an_alarm_are_not_recommended() {
        let learner = MemberStatus { learner: true, ..status(false) };
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(false) };
        assert_eq!(ranked(&[Some(status(true)), Some(learner.clone()), Some(alarmed.clone())]), ["etcd-cp1"]);
        assert_eq!(best(&[Some(learner), Some(alarmed)]), None);
    }

    #[test]
    fn without_a_quorum_the_member_with_the_most_data_is_recommended() {
        let lost = |applied| Some(MemberStatus { has_leader: false, applied, ..status(false) });
        assert_eq!(best(&[lost(10), lost(12), lost(11)]).as_deref(), Some("etcd-cp2"));
    }

    #[test]
    fn without_any_status_the_first_pod_is_recommended() {
        assert_eq!(best(&[None, None]).as_deref(), Some("etcd-cp1"));
    }

    #[test]
    fn a_member_can_be_named_by_its_role() {
        let both = members(&[Some(status(true)), Some(status(false))]);
        let node =
            |word| select_member(&both, MemberSelector::parse(word, &both)).map(|state| state.member.pod_name.as_str());
        assert_eq!(
            (node("leader"), node("follower"), node("etcd-cp2")),
            (Ok("etcd-cp1"), Ok("etcd-cp2"), Ok("etcd-cp2"))
        );
        let error = select_member(&both[..1], MemberSelector::Follower).expect_err("there is none");
        assert_eq!(error.message(), "cannot select a follower: no healthy member that answers has this role");
        let unknown = members(&[None, None]);
        let error = select_member(&unknown, MemberSelector::Leader).expect_err("the roles are unknown");
        assert_eq!(error.message(), "cannot select a leader: the roles of the members are unknown");
    }

    #[test]
    fn an_unknown_name_lists_the_members() {
        let members = members(&[None, None]);
        let error = select_member(&members, MemberSelector::Named("cp9")).expect_err("there is no cp9");
        assert!(error.hints()[0].contains("etcd-cp1 (node cp1, member etcd-cp1)"));
    }
}
