//! Flags that decide how a backup is gone about, rather than what is backed up.

use clap::Args;

/// Trying without doing, and going on with another member.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Backup")]
pub struct PlanArgs {
    /// Must be "client": check rights, room, image, alarms and quorum, show what would be created, and create nothing
    #[arg(
        long,
        value_name = "client",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = dry_run
    )]
    pub dry_run: Option<bool>,
}

impl PlanArgs {
    /// Nothing must be created.
    pub fn is_dry(&self) -> bool {
        self.dry_run == Some(true)
    }
}

/// kubectl's strategies.
fn dry_run(word: &str) -> Result<bool, String> {
    match word {
        "client" => Ok(true),
        "none" => Ok(false),
        "server" => Err(
            "a server-side dry run tests the job alone, not its pod; --dry-run=client asks the cluster everything else"
                .to_owned(),
        ),
        _ => Err("say --dry-run=client".to_owned()),
    }
}
