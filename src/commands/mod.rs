//! What the program does, one entry for each subcommand; each `run` reads as its table of contents.

mod backup;
mod cleanup;
mod context;
mod members;
mod rbac;
mod verify;

use crate::cli::Command;
use crate::error::Result;
use crate::signals::Signals;
use crate::ui::{Ui, restore_terminal};

/// Does what the command line asks for, and cleans up whatever happens.
///
/// # Errors
/// What is printed, with its exit code.
pub async fn run(command: &Command, ui: &Ui) -> Result<()> {
    let mut signals = Signals::listen()?;
    let outcome = match command {
        Command::Backup(options) => backup::run(options, ui, &mut signals).await,
        Command::Members(options) => signals.interrupt(members::run(options, ui)).await,
        Command::Rbac(options) => signals.interrupt(rbac::run(options, ui)).await,
        Command::Verify(options) => signals.interrupt(verify::run(options, ui)).await,
        Command::Cleanup(options) => signals.interrupt(cleanup::run(options, ui)).await,
    };
    // A signal may have ended a prompt.
    restore_terminal();
    outcome
}
