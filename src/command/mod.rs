//! What the program does, one file for each subcommand; each `run` reads as its table of contents.

mod backup;
mod cleanup;
mod expected;
mod field;
mod guard;
mod logging;
mod report;
mod verify;

use crate::cli::{Cli, Command};
use crate::error::Result;
use crate::ui::Ui;

/// Does what the command line asks for, and cleans up whatever happens.
///
/// # Errors
/// What a person is told, with its exit code.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<()> {
    logging::start(cli.talk.verbosity);
    guard::quiet_panics();
    let mut signals = guard::Signals::listen()?;
    match &cli.command {
        None => backup::run(cli, ui, &mut signals).await,
        Some(Command::Verify(args)) => signals.interrupt(verify::run(cli, args, ui)).await,
        Some(Command::Cleanup(args)) => signals.interrupt(cleanup::run(cli, args, ui)).await,
    }
}
