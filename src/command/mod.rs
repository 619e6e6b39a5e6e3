//! What the program does, one file for each subcommand; each `run` reads as its table of contents.

mod against;
mod asking;
mod backup;
mod cleanup;
mod content;
mod dry_run;
mod expected;
mod field;
mod guard;
mod logging;
mod members;
mod outcome;
mod proof;
mod rbac;
mod report;
mod row;
mod verify;

use crate::cli::{Cli, Command};
use crate::cluster::Cluster;
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
        None if cli.backup.plan.is_dry() => {
            let dry_run = async { dry_run::run(cli, ui, &Cluster::connect(&cli.connection).await?).await };
            signals.interrupt(dry_run).await
        }
        None => backup::run(cli, ui, &mut signals).await,
        Some(Command::Members(args)) => signals.interrupt(members::run(cli, args, ui)).await,
        Some(Command::Rbac(args)) => signals.interrupt(rbac::run(cli, args, ui)).await,
        Some(Command::Verify(args)) => signals.interrupt(verify::run(cli, args, ui)).await,
        Some(Command::Cleanup(args)) => signals.interrupt(cleanup::run(cli, args, ui)).await,
    }
}
