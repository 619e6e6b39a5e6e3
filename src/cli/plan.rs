//! Flags that decide how a backup is gone about, rather than what is backed up.

use std::path::PathBuf;

use clap::Args;
use clap::builder::TypedValueParser;

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

    /// When the member fails before the first byte, go on with the next best one without asking
    #[arg(long)]
    pub failover: bool,

    /// Directory for the file, which has the default name there; for several clusters, see --context
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub out_dir: Option<PathBuf>,

    /// Back up the cluster of each context of the kubeconfig, into --out-dir
    #[arg(long, requires = "out_dir")]
    pub all_contexts: bool,

    /// How many clusters to back up at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64).map(usize::from))]
    pub parallel: usize,
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
