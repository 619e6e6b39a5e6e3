//! Flags of `members`.

use std::time::Duration;

use clap::Args;

use super::connection::ConnectionArgs;
use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::options::MembersOptions;
use super::value_parser::positive_duration;
use crate::ui::Format;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Members")]
pub struct MembersArgs {
    /// After the first listing, print each member that changed, until interrupted
    #[arg(short, long)]
    pub watch: bool,

    /// Interval between two listings with --watch
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = positive_duration)]
    pub interval: Duration,

    #[command(flatten)]
    pub etcd_pod: EtcdPodArgs,

    #[command(flatten)]
    pub etcd_client: EtcdClientArgs,
}

impl MembersArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> MembersOptions {
        MembersOptions {
            cluster: connection.cluster_options(&self.etcd_client, &self.etcd_pod),
            watch: self.watch,
            interval: self.interval,
            format,
        }
    }
}
