//! Flags of the default action, a backup.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser};

use super::connection::ConnectionArgs;
use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::hash_check::{self, HashCheckArgs};
use super::options::{BackupOptions, OutFile};
use super::value_parser::{duration, positive_duration, seconds, transport};
use crate::snapshot::{Limits, TransportPreference};
use crate::ui::Format;
use crate::verification::Level;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backup")]
pub struct BackupArgs {
    /// File to write, or - for standard output [default: etcd-CONTEXT-MEMBER-TIME.db]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replace FILE if it exists, once the new snapshot is verified
    #[arg(long)]
    pub force: bool,

    /// Required level of verification: checksum, structure or members [default: as much as possible]
    #[arg(long, value_name = "LEVEL", value_parser = level(), hide_possible_values = true)]
    pub verify: Option<Level>,

    /// Read the file again after it is on disk, past the cache where the system allows it
    #[arg(long)]
    pub read_back: bool,

    /// Member to back up: pod, node or member name, leader or follower [default: prompt or recommended]
    #[arg(long, value_name = "NAME")]
    pub member: Option<String>,

    /// Transport: auto, node (job and kubelet), direct (connection to etcd) or exec (etcdctl in the pod)
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = transport(), hide_possible_values = true)]
    pub transport: TransportPreference,

    /// Image with etcdctl for the snapshot job [default: the etcd pod's own]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Time limit for the whole backup, however slow the copy
    #[arg(long, value_name = "DURATION", default_value = "4h", value_parser = seconds)]
    pub deadline: Duration,

    /// Delete the finished job and its file after this time if the client disappears
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = seconds)]
    pub job_ttl: Duration,

    /// Give up if no byte arrives for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    pub stall_timeout: Duration,

    /// Time limit until the etcd pod is ready, and until the job's pod runs
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = positive_duration)]
    pub pod_running_timeout: Duration,

    /// Check permissions, free space, image, alarms and quorum, and create nothing; must be "client"
    #[arg(
        long,
        value_name = "client",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = dry_run
    )]
    pub dry_run: Option<bool>,

    /// If the member fails before the first byte, continue with the next best one without a prompt
    #[arg(long)]
    pub failover: bool,

    /// Directory for the file, which gets its default name
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub out_dir: Option<PathBuf>,

    /// Back up the cluster of each kubeconfig context into --out-dir
    #[arg(long, requires = "out_dir")]
    pub all_contexts: bool,

    /// Number of clusters to back up at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64).map(usize::from))]
    pub parallel: usize,

    #[command(flatten)]
    pub hash_check: HashCheckArgs,

    /// Query the hashes during a copy that takes longer than this, because etcd compacts old revisions
    #[arg(long, help_heading = hash_check::HEADING, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub hash_after: Duration,

    #[command(flatten)]
    pub etcd_pod: EtcdPodArgs,

    #[command(flatten)]
    pub etcd_client: EtcdClientArgs,
}

impl BackupArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> BackupOptions {
        BackupOptions {
            cluster: connection.cluster_options(&self.etcd_client, &self.etcd_pod),
            out: match self.out {
                None => OutFile::DefaultName,
                Some(path) if path.as_os_str() == "-" => OutFile::Stdout,
                Some(path) => OutFile::Path(path),
            },
            out_dir: self.out_dir,
            force: self.force,
            verify: self.verify,
            read_back: self.read_back,
            member: self.member,
            transport: self.transport,
            image: self.image,
            limits: Limits {
                deadline: self.deadline,
                job_ttl: self.job_ttl,
                stall_timeout: self.stall_timeout,
                pod_running_timeout: self.pod_running_timeout,
            },
            hash_limits: (&self.hash_check).into(),
            hash_after: self.hash_after,
            dry_run: self.dry_run == Some(true),
            failover: self.failover,
            all_contexts: self.all_contexts,
            parallel: self.parallel,
            format,
        }
    }

    /// Returns the identifiers of the flags that only a backup has.
    pub(super) fn argument_ids() -> impl Iterator<Item = String> {
        #[derive(Parser)]
        struct BackupOnly {
            #[command(flatten)]
            _args: BackupArgs,
        }
        let ids: Vec<String> = BackupOnly::command().get_arguments().map(|arg| arg.get_id().to_string()).collect();
        ids.into_iter()
    }
}

fn level() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::NAMES).try_map(|name| Level::parse(&name).ok_or("unknown level"))
}

/// Parses kubectl's dry-run strategies.
fn dry_run(word: &str) -> Result<bool, String> {
    match word {
        "client" => Ok(true),
        "none" => Ok(false),
        "server" => Err("a server-side dry run checks the job, but not its pod; use --dry-run=client".to_owned()),
        _ => Err("use --dry-run=client".to_owned()),
    }
}
