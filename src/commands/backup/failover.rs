//! The next member, if the chosen one fails before the first byte.

use crate::commands::members::select::row_of;
use crate::error::{Error, Result};
use crate::etcd::{MemberSet, MemberState, rank_members};
use crate::ui::{SelectItem, Ui, pick};
use crate::util::events::Events;

/// Returns the member to continue with after `error`; `tried` are those that failed. With `automatic` the best of the
/// others is taken; on a terminal it is offered.
///
/// # Errors
/// `error` itself, if there is no other member, or none is wanted.
pub(super) async fn next_member<'m>(
    automatic: bool,
    ui: &Ui,
    set: &'m MemberSet,
    tried: &[&MemberState],
    error: Error,
) -> Result<&'m MemberState> {
    let others = untried(set, tried);
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
    let item = |state: &&MemberState| row_of(set, state).to_item(std::ptr::eq(*state, best));
    let mut offered: Vec<SelectItem> = others.iter().map(item).collect();
    offered.push(SelectItem { cells: vec!["none, exit now".to_owned()], recommended: false });
    let picked = pick("Which etcd member instead?", &offered, 0).await?;
    others.get(picked).copied().ok_or(error)
}

fn untried<'m>(set: &'m MemberSet, tried: &[&MemberState]) -> Vec<&'m MemberState> {
    let mut others = rank_members(&set.members);
    others.retain(|state| !tried.iter().any(|tried| std::ptr::eq(*tried, *state)));
    others
}
