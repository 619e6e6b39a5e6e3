//! The next member, when the chosen one fails before the first byte.

use crate::cli::Cli;
use crate::commands::members::select::MemberSet;
use crate::error::{Error, Result};
use crate::ui::{SelectItem, Ui, pick};

/// The member to go on with after `error`; `tried` are those that failed. With `--failover` the best of the others is
/// taken; on a terminal it is offered.
///
/// # Errors
/// `error` itself, when there is no other member, or none is wanted.
pub(super) async fn next(cli: &Cli, ui: &Ui, field: &MemberSet, tried: &[usize], error: Error) -> Result<usize> {
    let others: Vec<usize> = field.rank_members().into_iter().filter(|index| !tried.contains(index)).collect();
    let Some(best) = others.first().copied() else {
        return Err(error);
    };
    let name = |index: usize| field.members[index].pod_name.clone();
    let failed = tried.last().map(|index| name(*index)).unwrap_or_default();
    if cli.backup.plan.failover {
        ui.warn(&format!("member {failed} failed before the first byte: {}", error.message()));
        ui.status(&format!("Going on with member {}", name(best)));
        return Ok(best);
    }
    if !ui.is_interactive() {
        return Err(error.hint(format!("--failover goes on with the next member by itself, here {}", name(best))));
    }
    ui.warn(&format!("member {failed} failed before the first byte: {}", error.message()));
    let rows = field.rows();
    let mut offered: Vec<SelectItem> = others.iter().map(|index| rows[*index].to_pick(*index == best)).collect();
    offered.push(SelectItem { cells: vec!["none, end here".to_owned()], recommended: false });
    let picked = pick("Which etcd member instead?", &offered, 0).await?;
    others.get(picked).copied().ok_or(error)
}
