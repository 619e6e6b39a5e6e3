//! Flags of `cleanup`.

use clap::Args;

use super::connection::ConnectionArgs;
use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::options::CleanupOptions;
use crate::ui::Format;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cleanup")]
pub struct CleanupArgs {
    /// Also delete jobs that have not expired; a running backup fails
    #[arg(long)]
    pub all: bool,
}

impl CleanupArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> CleanupOptions {
        CleanupOptions {
            cluster: connection.cluster_options(&EtcdClientArgs::default(), &EtcdPodArgs::default()),
            all: self.all,
            format,
        }
    }
}
