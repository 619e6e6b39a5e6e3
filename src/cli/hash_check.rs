//! Flags that limit what the comparison with the members costs them.

use std::time::Duration;

use clap::Args;

use super::value_parser::{positive_duration, size};
use crate::etcd::hash_kv::HashLimits;

/// Limits of the hash check.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hash check")]
pub struct HashCheckArgs {
    /// Skip members with a larger database, because computing the hash blocks writes; 0 disables the check
    #[arg(long, value_name = "SIZE", default_value = "2Gi", value_parser = size)]
    pub hash_max_size: u64,

    /// Time limit for the hash of one member
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive_duration)]
    pub hash_timeout: Duration,
}

impl From<&HashCheckArgs> for HashLimits {
    fn from(args: &HashCheckArgs) -> Self {
        HashLimits { max_size: args.hash_max_size, time: args.hash_timeout }
    }
}
