//! Selects the next member if the chosen one fails before the first byte.

use crate::commands::members::row::MemberRow;
use crate::error::{Error, Result};
use crate::etcd::{MemberSet, MemberState, rank_members};
use crate::ui::{SelectItem, Ui, prompt_selection};
use crate::util::events::Events;

/// Returns the member to continue with after `error`. `tried` are the members that failed. With `automatic` it takes
/// the best of the others; on a terminal it prompts.
///
/// # Errors
/// `error` itself, if there is no other member or the user declines.
pub(super) async fn next_member<'m>(
    automatic: bool,
    ui: &Ui,
    set: &'m MemberSet,
    tried: &[&MemberState],
    error: Error,
) -> Result<&'m MemberState> {
    let others = untried_members(&set.members, tried);
    let Some(best) = others.first().copied() else {
        return Err(error);
    };
    let best_pod = &best.member.pod_name;
    let failed = tried.last().map(|state| state.member.pod_name.as_str()).unwrap_or_default();
    if automatic {
        ui.warn(&format!("member {failed} failed before the first byte: {}", error.message()));
        ui.status(&format!("Continuing with member {best_pod}"));
        return Ok(best);
    }
    if !ui.is_interactive() {
        return Err(error.hint(format!("use --failover to continue with the next member, here {best_pod}")));
    }
    ui.warn(&format!("member {failed} failed before the first byte: {}", error.message()));
    let item = |state: &&MemberState| MemberRow::from_set(set, state).to_item(std::ptr::eq(*state, best));
    let mut items: Vec<SelectItem> = others.iter().map(item).collect();
    items.push(SelectItem { cells: vec!["none, exit now".to_owned()], recommended: false });
    let selected = prompt_selection("Which etcd member instead?", &items, 0).await?;
    others.get(selected).copied().ok_or(error)
}

/// Returns the members that were not tried and may be recommended, best first.
fn untried_members<'m>(members: &'m [MemberState], tried: &[&MemberState]) -> Vec<&'m MemberState> {
    let mut others = rank_members(members);
    others.retain(|state| !tried.iter().any(|tried| std::ptr::eq(*tried, *state)));
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::{Member, MemberProbe, MemberStatus};
    use crate::test_support::pod;
    use crate::ui::OutputOptions;

    fn state(name: &str, status: MemberStatus) -> MemberState {
        MemberState {
            member: Member::from_pod(pod(name, &["etcd"], true)).expect("it runs etcd"),
            probe: MemberProbe::Ok(MemberStatus { has_leader: true, applied: 7, ..status }),
            credentials: Vec::new(),
            certificate_expiry: None,
        }
    }

    /// A leader, two followers, a follower with an alarm and a learner.
    fn set() -> MemberSet {
        let default = MemberStatus::default;
        let members = vec![
            state("leader", MemberStatus { leader: true, ..default() }),
            state("follower-1", default()),
            state("follower-2", default()),
            state("alarmed", MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..default() }),
            state("learner", MemberStatus { learner: true, ..default() }),
        ];
        MemberSet { members, verified_origin: None, unmatched: Vec::new(), warnings: Vec::new() }
    }

    fn names<'m>(members: &[&'m MemberState]) -> Vec<&'m str> {
        members.iter().map(|state| state.member.pod_name.as_str()).collect()
    }

    #[test]
    fn the_next_member_is_the_best_one_that_was_not_tried() {
        let set = set();
        let [leader, first, second, ..] = set.members.as_slice() else { panic!("five members") };
        assert_eq!(names(&untried_members(&set.members, &[first])), ["follower-2", "leader"]);
        assert_eq!(names(&untried_members(&set.members, &[leader])), ["follower-1", "follower-2"]);
        assert_eq!(names(&untried_members(&set.members, &[first, second])), ["leader"]);
        assert!(untried_members(&set.members, &[first, second, leader]).is_empty());
    }

    #[test]
    fn a_failed_member_that_was_named_is_followed_by_the_best_one() {
        let set = set();
        let [.., alarmed, learner] = set.members.as_slice() else { panic!("five members") };
        assert_eq!(names(&untried_members(&set.members, &[alarmed, learner])), ["follower-1", "follower-2", "leader"]);
    }

    #[tokio::test]
    async fn the_flag_continues_until_every_member_was_tried() {
        let (set, ui) = (set(), Ui::new(OutputOptions { quiet: true }));
        let mut tried = vec![&set.members[0]];
        let error = || Error::failed("the node evicted the pod");
        for expected in ["follower-1", "follower-2"] {
            let next = next_member(true, &ui, &set, &tried, error()).await.expect("there is another member");
            assert_eq!(next.member.pod_name, expected);
            tried.push(next);
        }
        assert_eq!(next_member(true, &ui, &set, &tried, error()).await.expect_err("all were tried"), error());
        assert_eq!(ui.warnings().len(), 2, "{:?}", ui.warnings());
    }
}
