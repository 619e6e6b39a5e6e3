//! Flags of `cleanup`.

use std::path::PathBuf;

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

    /// Delete the temporary files of killed runs in this directory instead; needs no cluster
    #[arg(long, value_name = "DIR", conflicts_with = "all")]
    pub local: Option<PathBuf>,

    /// Delete the files without a prompt
    #[arg(long, requires = "local")]
    pub yes: bool,
}

impl CleanupArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> CleanupOptions {
        CleanupOptions {
            cluster: connection.cluster_options(&EtcdClientArgs::default(), &EtcdPodArgs::default()),
            all: self.all,
            local: self.local,
            yes: self.yes,
            format,
        }
    }
}
