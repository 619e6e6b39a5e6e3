//! What the program does, one file for each subcommand; each `run` reads as its table of contents.

pub mod backup;
mod cleanup;
pub mod members;
mod rbac;
mod verify;

use crate::cli::{Cli, Command};
use crate::commands::backup::dry_run;
use crate::commands::backup::multi_context;
use crate::error::Result;
use crate::k8s::KubeClient;
use crate::logging;
use crate::signals;
use crate::ui::{Ui, restore_terminal};

/// Does what the command line asks for, and cleans up whatever happens.
///
/// # Errors
/// What a person is told, with its exit code.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<()> {
    logging::start(cli.talk.verbosity);
    signals::quiet_panics();
    let mut signals = signals::Signals::listen()?;
    let outcome = match &cli.command {
        None => back_up(cli, ui, &mut signals).await,
        Some(Command::Members(args)) => signals.interrupt(members::run(cli, args, ui)).await,
        Some(Command::Rbac(args)) => signals.interrupt(rbac::run(cli, args, ui)).await,
        Some(Command::Verify(args)) => signals.interrupt(verify::run(cli, args, ui)).await,
        Some(Command::Cleanup(args)) => signals.interrupt(cleanup::run(cli, args, ui)).await,
    };
    // A signal may have ended a prompt.
    restore_terminal();
    outcome
}

/// A backup of one cluster, of several, or only a look at one.
async fn back_up(cli: &Cli, ui: &Ui, signals: &mut signals::Signals) -> Result<()> {
    let contexts = KubeClient::selected_contexts(&cli.connection, cli.backup.plan.all_contexts)?;
    if !contexts.is_empty() {
        return multi_context::run(cli, contexts, ui, signals).await;
    }
    if cli.backup.plan.is_dry() {
        let dry_run = async { dry_run::run(cli, ui, &KubeClient::connect(&cli.connection).await?).await };
        return signals.interrupt(dry_run).await;
    }
    backup::run(cli, ui, signals).await
}
