//! Which member to back up: the one that was named, or the one that a backup burdens least.

use std::cmp::Reverse;

use super::{Member, MemberState};
use crate::error::{Error, Result};

/// A member is caught up when it is at most this many raft entries behind the most advanced one: the members are
/// asked milliseconds apart, and a busy cluster writes meanwhile.
const CAUGHT_UP: u64 = 1000;

/// What `--member` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSelector<'n> {
    /// The member of this name, whatever its state.
    Named(&'n str),
    /// The member that leads.
    Leader,
    /// The best follower.
    Follower,
}

impl<'n> MemberSelector<'n> {
    /// Reads the flag's value. A member that is really called `leader` goes before the role.
    pub fn parse(word: &'n str, members: &[MemberState]) -> Self {
        match word {
            "leader" if find(members, word).is_none() => MemberSelector::Leader,
            "follower" if find(members, word).is_none() => MemberSelector::Follower,
            name => MemberSelector::Named(name),
        }
    }
}

fn find<'m>(members: &'m [MemberState], name: &str) -> Option<&'m MemberState> {
    let is_called = |member: &Member| member.pod_name == name || member.node == name || member.name == name;
    members.iter().find(|state| is_called(&state.member))
}

/// Returns the member that `--member` names: by pod, node or member name, or by its role.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) when no member has the name; the hint lists the members.
/// [`Failed`](crate::error::ErrorKind::Failed) when none has the role, or the roles are unknown.
pub fn select_member<'m>(members: &'m [MemberState], selector: MemberSelector<'_>) -> Result<&'m MemberState> {
    let unknown = |role: &str| {
        let why = match members.iter().all(|state| state.status().is_none()) {
            true => "the members' roles are unknown",
            false => "none of the members that answer has that role in good health",
        };
        Error::failed(format!("there is no {role} to back up: {why}"))
            .hint("'kubectl etcd-backup members' shows them; name one with --member")
    };
    let leads = |state: &MemberState| state.status().map(|status| status.leader);
    match selector {
        MemberSelector::Named(name) => find(members, name).ok_or_else(|| {
            let known: Vec<String> = members
                .iter()
                .map(|MemberState { member, .. }| {
                    format!("{} (node {}, member {})", member.pod_name, member.node, member.name)
                })
                .collect();
            Error::usage(format!("no etcd member is called \"{name}\""))
                .hint(format!("the members are: {}; or say leader or follower", known.join(", ")))
        }),
        MemberSelector::Leader => {
            members.iter().find(|state| leads(state) == Some(true)).ok_or_else(|| unknown("leader"))
        }
        MemberSelector::Follower => {
            let mut best = rank_members(members).into_iter().filter(|state| leads(state) == Some(false));
            best.next().ok_or_else(|| unknown("follower"))
        }
    }
}

/// Returns the members that may be taken without being named, best first: healthy, caught-up followers, then the
/// leader, then the others; never a learner, never one with an alarm. Without any status, in the order of their pods,
/// the ready ones first. Without a quorum, the member that has the most comes first.
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
            let behind = newest.saturating_sub(status.applied) > CAUGHT_UP;
            let lost = if status.has_leader { 0 } else { status.applied };
            (!state.member.is_ready(), !status.has_leader, Reverse(lost), behind, status.leader)
        })
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::{MemberProbe, MemberStatus};
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
    fn a_follower_that_lags_is_worse_than_the_leader() {
        let lagging = MemberStatus { applied: 10, ..status(false) };
        assert_eq!(best(&[Some(status(true)), Some(lagging)]).as_deref(), Some("etcd-cp1"));
    }

    #[test]
    fn neither_a_learner_nor_an_alarm_is_ever_recommended() {
        let learner = MemberStatus { learner: true, ..status(false) };
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(false) };
        assert_eq!(ranked(&[Some(status(true)), Some(learner.clone()), Some(alarmed.clone())]), ["etcd-cp1"]);
        assert_eq!(best(&[Some(learner), Some(alarmed)]), None);
    }

    #[test]
    fn without_a_quorum_the_member_that_has_the_most_is_taken() {
        let lost = |applied| Some(MemberStatus { has_leader: false, applied, ..status(false) });
        assert_eq!(best(&[lost(10), lost(12), lost(11)]).as_deref(), Some("etcd-cp2"));
    }

    #[test]
    fn without_any_status_somebody_is_taken() {
        assert_eq!(best(&[None, None]).as_deref(), Some("etcd-cp1"));
    }

    #[test]
    fn a_role_may_stand_for_a_name() {
        let both = members(&[Some(status(true)), Some(status(false))]);
        let node =
            |word| select_member(&both, MemberSelector::parse(word, &both)).map(|state| state.member.pod_name.as_str());
        assert_eq!(
            (node("leader"), node("follower"), node("etcd-cp2")),
            (Ok("etcd-cp1"), Ok("etcd-cp2"), Ok("etcd-cp2"))
        );
        let alone = select_member(&both[..1], MemberSelector::Follower).expect_err("there is none");
        assert!(alone.message().contains("no follower"), "{alone}");
        let silent = members(&[None, None]);
        let unknown = select_member(&silent, MemberSelector::Leader).expect_err("the roles are unknown");
        assert!(unknown.message().contains("roles are unknown"), "{unknown}");
    }

    #[test]
    fn an_unknown_name_lists_the_members() {
        let members = members(&[None, None]);
        let error = select_member(&members, MemberSelector::Named("cp9")).expect_err("there is no cp9");
        assert!(error.hints()[0].contains("etcd-cp1 (node cp1, member etcd-cp1)"));
    }
}
