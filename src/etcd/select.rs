//! Which member to back up: the one that was named, or the one that a backup burdens least.

use super::{Member, MemberStatus};
use crate::error::{Error, Result};

/// A member is caught up when it is at most this many raft entries behind the most advanced one: the members are
/// asked milliseconds apart, and a busy cluster writes meanwhile.
const CAUGHT_UP: u64 = 1000;

/// The member that `--member` names, by pod, node or member name.
///
/// # Errors
/// [`Usage`](crate::error::Kind::Usage) when there is none; the hint lists the members.
pub fn named(members: &[Member], name: &str) -> Result<usize> {
    let found = members.iter().position(|member| member.pod_name == name || member.node == name || member.name == name);
    found.ok_or_else(|| {
        let known: Vec<String> = members
            .iter()
            .map(|member| format!("{} (node {}, member {})", member.pod_name, member.node, member.name))
            .collect();
        Error::usage(format!("no etcd member is called \"{name}\""))
            .hint(format!("the members are: {}", known.join(", ")))
    })
}

/// The recommended member: a healthy, caught-up follower, else the leader; never a learner, never one with an alarm.
/// Without any status, the first whose pod is ready.
pub fn recommended(members: &[Member], statuses: &[Option<MemberStatus>]) -> Option<usize> {
    if statuses.iter().all(Option::is_none) {
        return members.iter().position(Member::is_ready).or((!members.is_empty()).then_some(0));
    }
    let newest = statuses.iter().flatten().map(|status| status.applied).max().unwrap_or_default();
    let usable =
        |index: &usize| statuses[*index].as_ref().is_some_and(|status| !status.learner && status.alarms.is_empty());
    let rank = |index: &usize| {
        statuses[*index].as_ref().map(|status| {
            let behind = newest - status.applied > CAUGHT_UP;
            (!members[*index].is_ready(), !status.has_leader, behind, status.leader)
        })
    };
    (0..members.len()).filter(usable).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::super::member::tests::pod;
    use super::*;

    fn members(count: usize) -> Vec<Member> {
        (1..=count).map(|n| Member::of(pod(&format!("etcd-cp{n}"), &["etcd"], true)).expect("it runs etcd")).collect()
    }

    fn status(leader: bool) -> MemberStatus {
        MemberStatus {
            id: 1,
            leader,
            learner: false,
            version: "3.6.8".to_owned(),
            db_size: 1,
            revision: 1,
            applied: 5000,
            alarms: Vec::new(),
            has_leader: true,
        }
    }

    #[test]
    fn a_follower_is_preferred_to_the_leader() {
        assert_eq!(recommended(&members(2), &[Some(status(true)), Some(status(false))]), Some(1));
    }

    #[test]
    fn a_follower_that_lags_is_worse_than_the_leader() {
        let lagging = MemberStatus { applied: 10, ..status(false) };
        assert_eq!(recommended(&members(2), &[Some(status(true)), Some(lagging)]), Some(0));
    }

    #[test]
    fn neither_a_learner_nor_an_alarm_is_ever_recommended() {
        let learner = MemberStatus { learner: true, ..status(false) };
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(false) };
        assert_eq!(
            recommended(&members(3), &[Some(status(true)), Some(learner.clone()), Some(alarmed.clone())]),
            Some(0)
        );
        assert_eq!(recommended(&members(2), &[Some(learner), Some(alarmed)]), None);
    }

    #[test]
    fn without_any_status_somebody_is_taken() {
        assert_eq!(recommended(&members(2), &[None, None]), Some(0));
    }

    #[test]
    fn an_unknown_name_lists_the_members() {
        let error = named(&members(2), "cp9").expect_err("there is no cp9");
        assert!(error.hints()[0].contains("etcd-cp1 (node cp1, member etcd-cp1)"));
        assert_eq!(named(&members(2), "etcd-cp2"), Ok(1));
    }
}
