//! Which member to back up: the one that was named, or the one that a backup burdens least.

use std::cmp::Reverse;

use super::{Member, MemberStatus};
use crate::error::{Error, Result};

/// A member is caught up when it is at most this many raft entries behind the most advanced one: the members are
/// asked milliseconds apart, and a busy cluster writes meanwhile.
pub const CAUGHT_UP: u64 = 1000;

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
    pub fn of(word: &'n str, members: &[Member]) -> Self {
        match word {
            "leader" if position(members, word).is_none() => MemberSelector::Leader,
            "follower" if position(members, word).is_none() => MemberSelector::Follower,
            name => MemberSelector::Named(name),
        }
    }
}

fn position(members: &[Member], name: &str) -> Option<usize> {
    members.iter().position(|member| member.pod_name == name || member.node == name || member.name == name)
}

/// The member that `--member` names: by pod, node or member name, or by its role.
///
/// # Errors
/// [`Usage`](crate::error::Kind::Usage) when no member has the name; the hint lists the members.
/// [`Failed`](crate::error::Kind::Failed) when none has the role, or nobody knows.
pub fn select_member(
    members: &[Member],
    statuses: &[Option<MemberStatus>],
    choice: MemberSelector<'_>,
) -> Result<usize> {
    let unknown = |role: &str| {
        let why = match statuses.iter().all(Option::is_none) {
            true => "the members' roles are unknown",
            false => "none of the members that answer has that role in good health",
        };
        Error::failed(format!("there is no {role} to back up: {why}"))
            .hint("'kubectl etcd-backup members' shows them; name one with --member")
    };
    let has = |index: &usize, leads: bool| statuses[*index].as_ref().is_some_and(|status| status.leader == leads);
    match choice {
        MemberSelector::Named(name) => position(members, name).ok_or_else(|| {
            let known: Vec<String> = members
                .iter()
                .map(|member| format!("{} (node {}, member {})", member.pod_name, member.node, member.name))
                .collect();
            Error::usage(format!("no etcd member is called \"{name}\""))
                .hint(format!("the members are: {}; or say leader or follower", known.join(", ")))
        }),
        MemberSelector::Leader => (0..members.len()).find(|index| has(index, true)).ok_or_else(|| unknown("leader")),
        MemberSelector::Follower => {
            let mut best = rank_members(members, statuses).into_iter().filter(|index| has(index, false));
            best.next().ok_or_else(|| unknown("follower"))
        }
    }
}

/// The members that may be taken without being named, best first: healthy, caught-up followers, then the leader, then
/// the others; never a learner, never one with an alarm. Without any status, in the order of their pods, the ready ones
/// first. Without a quorum, the member that has the most comes first.
pub fn rank_members(members: &[Member], statuses: &[Option<MemberStatus>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    if statuses.iter().all(Option::is_none) {
        order.sort_by_key(|index| !members[*index].is_ready());
        return order;
    }
    let newest = statuses.iter().flatten().map(|status| status.applied).max().unwrap_or_default();
    order.retain(|index| statuses[*index].as_ref().is_some_and(|status| !status.learner && status.alarms.is_empty()));
    order.sort_by_key(|index| {
        statuses[*index].as_ref().map(|status| {
            let behind = newest.saturating_sub(status.applied) > CAUGHT_UP;
            let lost = if status.has_leader { 0 } else { status.applied };
            (!members[*index].is_ready(), !status.has_leader, Reverse(lost), behind, status.leader)
        })
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::member::tests::pod;

    fn members(count: usize) -> Vec<Member> {
        (1..=count)
            .map(|n| Member::from_pod(pod(&format!("etcd-cp{n}"), &["etcd"], true)).expect("it runs etcd"))
            .collect()
    }

    fn status(leader: bool) -> MemberStatus {
        MemberStatus { leader, applied: 5000, has_leader: true, ..MemberStatus::default() }
    }

    fn best(statuses: &[Option<MemberStatus>]) -> Option<usize> {
        rank_members(&members(statuses.len()), statuses).first().copied()
    }

    #[test]
    fn a_follower_is_preferred_to_the_leader() {
        assert_eq!(rank_members(&members(2), &[Some(status(true)), Some(status(false))]), [1, 0]);
    }

    #[test]
    fn a_follower_that_lags_is_worse_than_the_leader() {
        let lagging = MemberStatus { applied: 10, ..status(false) };
        assert_eq!(best(&[Some(status(true)), Some(lagging)]), Some(0));
    }

    #[test]
    fn neither_a_learner_nor_an_alarm_is_ever_recommended() {
        let learner = MemberStatus { learner: true, ..status(false) };
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(false) };
        assert_eq!(rank_members(&members(3), &[Some(status(true)), Some(learner.clone()), Some(alarmed.clone())]), [0]);
        assert_eq!(best(&[Some(learner), Some(alarmed)]), None);
    }

    #[test]
    fn without_a_quorum_the_member_that_has_the_most_is_taken() {
        let lost = |applied| Some(MemberStatus { has_leader: false, applied, ..status(false) });
        assert_eq!(best(&[lost(10), lost(12), lost(11)]), Some(1));
    }

    #[test]
    fn without_any_status_somebody_is_taken() {
        assert_eq!(best(&[None, None]), Some(0));
    }

    #[test]
    fn a_role_may_stand_for_a_name() {
        let (members, statuses) = (members(2), [Some(status(true)), Some(status(false))]);
        let of = |word| select_member(&members, &statuses, MemberSelector::of(word, &members));
        assert_eq!((of("leader"), of("follower"), of("etcd-cp2")), (Ok(0), Ok(1), Ok(1)));
        let alone = select_member(&members[..1], &statuses[..1], MemberSelector::Follower).expect_err("there is none");
        assert!(alone.message().contains("no follower"), "{alone}");
        let unknown = select_member(&members, &[None, None], MemberSelector::Leader).expect_err("nobody knows");
        assert!(unknown.message().contains("roles are unknown"), "{unknown}");
    }

    #[test]
    fn an_unknown_name_lists_the_members() {
        let error =
            select_member(&members(2), &[None, None], MemberSelector::Named("cp9")).expect_err("there is no cp9");
        assert!(error.hints()[0].contains("etcd-cp1 (node cp1, member etcd-cp1)"));
    }
}
