//! The flags of the default action: take a backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, ValueEnum};

use super::hash_check::HashCheckArgs;
use super::value_parser::{duration, positive_duration, seconds};
use super::{EtcdClientArgs, EtcdPodArgs, PlanArgs};

/// What to back up, where to, and how long to wait for it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backup")]
pub struct BackupArgs {
    /// File to write, or - for standard output [default: etcd-CONTEXT-MEMBER-TIME.db]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replace FILE if it exists, once the new snapshot is proven
    #[arg(long)]
    pub force: bool,

    /// How far to prove the snapshot: transport, structure or content [default: as far as is possible]
    #[arg(long, value_name = "LEVEL", value_enum, hide_possible_values = true)]
    pub verify: Option<Level>,

    /// Member to back up, by pod, node or member name, or leader or follower [default: asks, or takes the recommended one]
    #[arg(long, value_name = "NAME")]
    pub member: Option<String>,

    /// How the snapshot comes here: auto, node (a job on the node, the kubelet serves the file), direct (a connection to
    /// etcd) or exec (a command in the etcd container)
    #[arg(long, value_name = "HOW", value_enum, default_value_t = TransportChoice::Auto, hide_possible_values = true)]
    pub transport: TransportChoice,

    /// Image with etcdctl for the snapshot job [default: the etcd pod's own]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Longest time for the whole backup, however slow the copy
    #[arg(long, value_name = "DURATION", default_value = "4h", value_parser = seconds)]
    pub deadline: Duration,

    /// How long the finished job and its file outlive a workstation that died; renewed while copying
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = seconds)]
    pub lease: Duration,

    /// Give up when no byte has arrived for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    pub stall_timeout: Duration,

    /// How long to wait until the etcd pod is ready, and until the job's pod runs
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = positive_duration)]
    pub pod_running_timeout: Duration,

    /// How etcd is reached from inside its pod.
    #[command(flatten)]
    pub pod: EtcdPodArgs,

    /// What the comparison with the members may cost.
    #[command(flatten)]
    pub content: HashCheckArgs,

    /// A copy that takes longer than this has the members asked meanwhile: etcd forgets old revisions
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub content_after: Duration,

    /// How to go about it.
    #[command(flatten)]
    pub plan: PlanArgs,

    /// What opens etcd itself.
    #[command(flatten)]
    pub etcd: EtcdClientArgs,
}

/// How far a snapshot is verified; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Every byte that etcd sent arrived.
    Checksum,
    /// The file is a sound database.
    Structure,
    /// The file holds what most of the members hold.
    Members,
}

/// What `--transport` may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TransportChoice {
    /// The first that is allowed and possible.
    #[default]
    Auto,
    /// A job on the member's node; the kubelet serves the file.
    Node,
    /// A connection to etcd through the API server.
    Direct,
    /// etcdctl in the etcd container.
    Exec,
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutFile {
    /// A file with this name.
    File(PathBuf),
    /// A file in the current directory, named after the context, the member and the time.
    Named,
    /// Standard output.
    Stdout,
}

impl BackupArgs {
    /// What `--out` asks for.
    pub fn destination(&self) -> OutFile {
        match &self.out {
            None => OutFile::Named,
            Some(path) if path.as_os_str() == "-" => OutFile::Stdout,
            Some(path) => OutFile::File(path.clone()),
        }
    }

    /// Where a file with the default name goes.
    pub fn directory(&self) -> &Path {
        self.plan.out_dir.as_deref().unwrap_or(Path::new(""))
    }

    /// The identifiers of this group's arguments.
    pub(super) fn augmented_ids() -> impl Iterator<Item = String> {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            _args: BackupArgs,
        }
        let ids: Vec<String> = Alone::command().get_arguments().map(|arg| arg.get_id().to_string()).collect();
        ids.into_iter()
    }
}
