//! Flags for comparing a snapshot with what the members hold, for every subcommand that does.

use std::time::Duration;

use clap::Args;

use super::value_parser::{positive_duration, size};

/// How much of the members' time the comparison may cost.
#[derive(Debug, Clone, Args)]
pub struct HashCheckArgs {
    /// Largest database whose hash is asked of a member: its writes wait meanwhile; 0 asks none
    #[arg(long, value_name = "SIZE", default_value = "2Gi", value_parser = size)]
    pub content_max_size: u64,

    /// How long one member may take for its hash
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive_duration)]
    pub content_timeout: Duration,
}
