//! Flags of `verify`.

use std::path::PathBuf;

use clap::Args;

use super::connection::ConnectionArgs;
use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::hash_check::HashCheckArgs;
use super::options::VerifyOptions;
use crate::ui::Format;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verify")]
pub struct VerifyArgs {
    /// Snapshot files, or a member's own database (member/snap/db)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Compare with this document, which the backup printed with -o json or -o yaml
    #[arg(long, value_name = "FILE")]
    pub document: Option<PathBuf>,

    /// Refuse a file without a sha-256 at its end, such as a member's own database
    #[arg(long)]
    pub require_checksum: bool,

    /// Compare with the data of the members, if they still have the file's revision
    #[arg(long)]
    pub against_cluster: bool,

    #[command(flatten)]
    pub hash_check: HashCheckArgs,

    #[command(flatten)]
    pub etcd_pod: EtcdPodArgs,

    #[command(flatten)]
    pub etcd_client: EtcdClientArgs,
}

impl VerifyArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> VerifyOptions {
        VerifyOptions {
            cluster: connection.cluster_options(&self.etcd_client, &self.etcd_pod),
            files: self.files,
            document: self.document,
            require_checksum: self.require_checksum,
            against_cluster: self.against_cluster,
            hash_limits: (&self.hash_check).into(),
            format,
        }
    }
}
