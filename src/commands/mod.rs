//! The commands: one entry for each subcommand, and `backup` for the default action.

mod backup;
mod bad_member;
mod cleanup;
mod context;
mod members;
mod rbac;
mod verified_levels;
mod verify;

use crate::cli::Command;
use crate::error::Result;
use crate::signals::Signals;
use crate::ui::{Ui, restore_terminal};

/// Runs a command until it ends or a signal arrives, and cleans up in each case.
///
/// # Errors
/// The error to print; it has the exit code.
pub async fn run(command: &Command, ui: &Ui) -> Result<()> {
    let mut signals = Signals::listen()?;
    let outcome = match command {
        Command::Backup(options) => backup::run(options, ui, &mut signals).await,
        Command::Members(options) => signals.run_until_signal(members::run(options, ui)).await,
        Command::Rbac(options) => signals.run_until_signal(rbac::run(options, ui)).await,
        Command::Verify(options) => signals.run_until_signal(verify::run(options, ui)).await,
        Command::Cleanup(options) => signals.run_until_signal(cleanup::run(options, ui)).await,
    };
    // A signal may have ended a prompt.
    restore_terminal();
    outcome
}
