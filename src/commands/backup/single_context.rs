//! The backup of one cluster.

use std::sync::OnceLock;

use super::backup_run::back_up;
use super::interruption::removal_unconfirmed;
use super::reserved_names::ReservedNames;
use super::result::BackupResult;
use super::summary::print_summary;
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::{ErrorKind, Result};
use crate::signals::{Signals, interruption_error};
use crate::snapshot::RemoteResources;
use crate::ui::{Ui, restore_terminal};
use crate::util::events::Events;

/// Backs up one cluster. In every case the job is deleted before this returns, unless a second signal arrives.
pub(super) async fn run(options: &BackupOptions, ui: &Ui, signals: &mut Signals) -> Result<()> {
    let remote = RemoteResources::default();
    let context = signals.run_until_signal(Context::connect(&options.cluster, ui)).await?;
    let (names, kept) = (ReservedNames::default(), OnceLock::new());
    let outcome = signals.run_until_signal(back_up(options, &context, &remote, &names, &kept, ui)).await;
    restore_terminal();
    let outcome = outcome.map_err(|error| match error.kind() {
        ErrorKind::Interrupted(_) if remote.exists() => {
            ui.status(&format!("Removing {}; a second signal exits at once", remote.description()));
            error
        }
        ErrorKind::Interrupted(_) if kept.get().is_some() => error,
        ErrorKind::Interrupted(_) if remote.was_created() => {
            error.context("the snapshot was not verified and is deleted")
        }
        ErrorKind::Interrupted(_) => error.context("nothing was done"),
        _ => error,
    });
    let outcome = outcome.and_then(|result| print_result(options, ui, result));
    let removed = tokio::select! {
        removed = remote.remove(&context.client) => removed,
        signal = signals.next_signal() => {
            ui.warn_always(&removal_unconfirmed(remote.description()));
            return outcome.and(Err(interruption_error(signal)));
        }
    };
    if let Err(error) = removed {
        ui.warn_always(&error);
    }
    outcome
}

/// Prints the summary, and the document if the user asked for one.
fn print_result(options: &BackupOptions, ui: &Ui, result: BackupResult) -> Result<()> {
    if result.is_verified {
        print_summary(ui, &result);
    }
    let format = options.format.filter(|_| result.document.file != "-");
    let printed = format.map_or(Ok(()), |format| ui.document(format, &result.document));
    // A bad file matters more than a closed standard output.
    result.error.map_or(printed, Err)
}
