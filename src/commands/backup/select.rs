//! Chooses the member to back up.

use crate::commands::members::row::{MemberRow, member_rows};
use crate::error::{Error, Result};
use crate::etcd::{MemberSelector, MemberSet, MemberState, MemberStatus, rank_members, select_member};
use crate::k8s::KubeClient;
use crate::ui::{SelectItem, Ui, prompt_selection};
use crate::util::events::Events;

/// Returns the member that `--member` names, that the user selects, or that is recommended.
///
/// # Errors
/// The named member does not exist, no member can be recommended, or the user left the prompt.
pub(super) async fn choose_member<'m>(
    set: &'m MemberSet,
    named: Option<&str>,
    client: &KubeClient,
    ui: &Ui,
) -> Result<&'m MemberState> {
    let members = &set.members;
    if let Some(word) = named {
        let state = select_member(members, MemberSelector::parse(word, members))?;
        if let Some(warning) = state.status().and_then(MemberStatus::warning) {
            ui.warn(&format!("member {} {warning}", state.member.name));
        }
        return Ok(state);
    }
    let recommended = rank_members(members).into_iter().next();
    if members.len() > 1 && ui.is_interactive() {
        let position = members.iter().position(|state| recommended.is_some_and(|best| std::ptr::eq(best, state)));
        let items: Vec<SelectItem> =
            member_rows(set).iter().enumerate().map(|(index, row)| row.to_item(position == Some(index))).collect();
        let question = "Which etcd member should be backed up?";
        let selected = prompt_selection(question, &items, position.unwrap_or_default()).await?;
        return members.get(selected).ok_or_else(|| Error::failed("the prompt returned no member"));
    }
    let Some(best) = recommended else {
        return Err(Error::failed(format!(
            "no member of cluster {} can be recommended: {}",
            client.name(),
            member_problems(members).join(", ")
        ))
        .hint("name the member to back up with --member"));
    };
    if members.len() > 1 {
        ui.status(&format!("Taking the recommended member: {}", MemberRow::from_set(set, best).summary()));
    }
    Ok(best)
}

/// Returns the reason against each member, after the name of its pod.
fn member_problems(members: &[MemberState]) -> Vec<String> {
    members
        .iter()
        .map(|state| match state.status() {
            Some(status) => format!("{} {}", state.member.pod_name, status.warning().unwrap_or_default()),
            None => format!("{} does not answer", state.member.pod_name),
        })
        .collect()
}
