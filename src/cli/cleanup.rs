//! The flags of `cleanup`.

use clap::Args;

/// What to remove.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cleanup")]
pub struct CleanupArgs {
    /// Remove jobs that are still within their time, too: a backup that runs now will fail
    #[arg(long)]
    pub all: bool,
}
