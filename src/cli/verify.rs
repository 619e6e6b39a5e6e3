//! The flags of `verify`.

use std::path::PathBuf;

use clap::Args;

use super::{EtcdClientArgs, EtcdPodArgs, HashCheckArgs};

/// Which files, and what they are compared with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verify")]
pub struct VerifyArgs {
    /// Snapshots, or a member's own database (member/snap/db)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Compare FILE with what a backup printed of it with -o json or -o yaml
    #[arg(long, value_name = "FILE")]
    pub document: Option<PathBuf>,

    /// Compare with what the members of the cluster hold, where they still know the file's revision
    #[arg(long)]
    pub against_cluster: bool,

    /// What that may cost the members.
    #[command(flatten)]
    pub content: HashCheckArgs,

    /// What opens etcd itself.
    #[command(flatten)]
    pub etcd: EtcdClientArgs,

    /// How etcd is reached from inside its pod.
    #[command(flatten)]
    pub pod: EtcdPodArgs,
}
