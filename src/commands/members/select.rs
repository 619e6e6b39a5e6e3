//! The choice of the member to back up, and the members as rows.

use std::collections::BTreeSet;

use super::row::MemberRow;
use crate::error::{Error, Result};
use crate::etcd::{MemberSelector, MemberSet, MemberState, MemberStatus, rank_members, select_member};
use crate::k8s::KubeClient;
use crate::ui::{SelectItem, Ui, pick};
use crate::util::events::Events;

/// Returns the member that is named, picked or recommended.
///
/// # Errors
/// There is no such member, none can be recommended, or the picker was left.
pub async fn choose_member<'m>(
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
            rows(set).iter().enumerate().map(|(index, row)| row.to_item(position == Some(index))).collect();
        let picked = pick("Which etcd member should be backed up?", &items, position.unwrap_or_default()).await?;
        return members.get(picked).ok_or_else(|| Error::failed("the prompt returned no member"));
    }
    let Some(best) = recommended else {
        return Err(Error::failed(format!(
            "no member of cluster {} can be recommended: {}",
            client.name(),
            troubles(members).join(", ")
        ))
        .hint("name the member to back up with --member"));
    };
    if members.len() > 1 {
        ui.status(&format!("Taking the recommended member: {}", row_of(set, best).summary()));
    }
    Ok(best)
}

/// Returns the members as rows for people and scripts.
pub fn rows(set: &MemberSet) -> Vec<MemberRow> {
    set.members.iter().map(|state| row_of(set, state)).collect()
}

/// Returns one member as a row.
pub fn row_of(set: &MemberSet, state: &MemberState) -> MemberRow {
    MemberRow::new(state, set.newest_raft_index())
}

/// Returns what could not be learned of the members, each reason once.
pub fn gaps(set: &MemberSet) -> Vec<String> {
    let mut reasons: BTreeSet<&str> = set.warnings.iter().filter_map(|warning| warning.reason.as_deref()).collect();
    let mut gaps: Vec<String> = set.warnings.iter().map(|warning| warning.message.clone()).collect();
    for state in &set.members {
        if let Some(reason) = state.probe.reason()
            && reasons.insert(reason)
        {
            gaps.push(format!("nothing is known of member {}: {reason}", state.member.name));
        }
    }
    gaps
}

fn troubles(members: &[MemberState]) -> Vec<String> {
    members
        .iter()
        .map(|state| match state.status() {
            Some(status) => format!("{} {}", state.member.pod_name, status.warning().unwrap_or_default()),
            None => format!("{} does not answer", state.member.pod_name),
        })
        .collect()
}
