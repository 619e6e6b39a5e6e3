//! The flags of `members`.

use std::time::Duration;

use clap::Args;

use super::value_parser::positive_duration;
use super::{EtcdClientArgs, EtcdPodArgs};

/// How to show the members.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Members")]
pub struct MembersArgs {
    /// After the first listing, print each member that changed, until interrupted
    #[arg(short, long)]
    pub watch: bool,

    /// How often to ask with --watch
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = positive_duration)]
    pub interval: Duration,

    /// What opens etcd itself.
    #[command(flatten)]
    pub etcd: EtcdClientArgs,

    /// How etcd is reached from inside its pod.
    #[command(flatten)]
    pub pod: EtcdPodArgs,
}
