//! Flags that limit the cost of the hash check for the members.

use std::time::Duration;

use clap::Args;

use super::value_parser::{positive_duration, size};
use crate::etcd::hash_kv::HashLimits;

/// The heading, also for a flag that only a backup has.
pub(super) const HEADING: &str = "Hash check";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub struct HashCheckArgs {
    /// Skip members with a larger database, because a hash blocks writes; 0 disables the check
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
