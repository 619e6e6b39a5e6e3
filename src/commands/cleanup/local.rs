//! `cleanup --local`: deletes the temporary files that killed runs left on this machine.

use std::path::Path;

use crate::error::{Error, Result};
use crate::storage::leftover::{Leftover, find_leftovers};
use crate::ui::{Ui, prompt_confirmation};
use crate::util::byte_size::decimal_bytes;
use crate::util::events::Events;

/// Lists the temporary files in `directory` and deletes the old ones. Asks before, unless `confirmed`.
///
/// # Errors
/// The directory cannot be read, a file cannot be deleted, or there is no terminal to ask on.
pub(super) async fn run(directory: &Path, confirmed: bool, ui: &Ui) -> Result<()> {
    if !cfg!(unix) {
        return Err(Error::usage("--local cannot be used on this system: its files have no owner and mode to check")
            .hint("delete the files .NAME.XXXXXX.part of killed runs by hand"));
    }
    let found = find_leftovers(directory)
        .map_err(|error| Error::failed(format!("cannot read directory {}: {error}", directory.display())))?;
    let (expired, recent): (Vec<Leftover>, Vec<Leftover>) = found.into_iter().partition(Leftover::is_expired);
    for leftover in &recent {
        ui.status(&format!("{} is kept, because it changed within the last 24 hours", describe(leftover)));
    }
    if expired.is_empty() {
        if recent.is_empty() {
            ui.status(&format!("No temporary files of killed runs found in {}.", directory.display()));
        }
        return Ok(());
    }
    expired.iter().for_each(|leftover| ui.status(&format!("{} was left by a killed run", describe(leftover))));
    if !confirmed {
        let files = if expired.len() == 1 { "file" } else { "files" };
        if !ui.is_interactive() {
            return Err(Error::usage(format!("cannot delete {} {files} without confirmation", expired.len()))
                .hint("run it on a terminal, or confirm with --yes"));
        }
        if !prompt_confirmation(&format!("Delete {} {files}?", expired.len())).await? {
            ui.status("Nothing was deleted.");
            return Ok(());
        }
    }
    let mut failures = Vec::new();
    for leftover in &expired {
        match leftover.remove() {
            Ok(()) => ui.println(&format!("{} deleted", leftover.path.display()))?,
            // One failure does not stop the others.
            Err(error) => failures.push(error),
        }
    }
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(|failure| ui.error(failure));
    Err(last)
}

fn describe(leftover: &Leftover) -> String {
    format!("{} ({})", leftover.path.display(), decimal_bytes(leftover.size))
}
