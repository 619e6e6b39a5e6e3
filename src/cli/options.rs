//! The options of each command, without clap types.
//!
//! The structs with clap's attributes describe the flags; these describe what a command needs. They contain the option
//! types of other modules.

use std::path::PathBuf;
use std::time::Duration;

use crate::etcd;
use crate::etcd::hash_kv::HashLimits;
use crate::k8s::ConnectOptions;
use crate::snapshot::{Limits, TransportPreference};
use crate::ui::{Format, OutputOptions};
use crate::verification::Level;

/// The parsed command line.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub command: Command,
    pub output: OutputOptions,
    /// `-v`: the log level, as in kubectl.
    pub verbosity: u8,
}

/// The command with its options.
#[derive(Debug, Clone)]
pub enum Command {
    Backup(Box<BackupOptions>),
    Members(MembersOptions),
    Rbac(RbacOptions),
    Cleanup(CleanupOptions),
    Verify(VerifyOptions),
}

/// The cluster and its etcd.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub connect: ConnectOptions,
    pub etcd: etcd::Options,
    /// `--etcd-user`, without its password.
    pub etcd_user: Option<String>,
}

/// `kubectl etcd-backup`.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    pub cluster: ClusterOptions,
    pub out: OutFile,
    /// `--out-dir`.
    pub out_dir: Option<PathBuf>,
    pub force: bool,
    /// The required level; `None`: as much as possible.
    pub verify: Option<Level>,
    /// Read the file again after it is on disk.
    pub read_back: bool,
    pub member: Option<String>,
    pub transport: TransportPreference,
    pub image: Option<String>,
    pub limits: Limits,
    pub hash_limits: HashLimits,
    /// The members are also asked during a copy that takes longer than this.
    pub hash_after: Duration,
    pub dry_run: bool,
    pub failover: bool,
    pub all_contexts: bool,
    pub parallel: usize,
    pub format: Option<Format>,
}

/// The file that a backup writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutFile {
    Path(PathBuf),
    /// `etcd-CONTEXT-MEMBER-TIME.db`.
    DefaultName,
    Stdout,
}

/// `kubectl etcd-backup members`.
#[derive(Debug, Clone)]
pub struct MembersOptions {
    pub cluster: ClusterOptions,
    pub watch: bool,
    pub interval: Duration,
    pub format: Option<Format>,
}

/// `kubectl etcd-backup rbac`.
#[derive(Debug, Clone)]
pub struct RbacOptions {
    pub cluster: ClusterOptions,
    pub transport: TransportPreference,
    pub optional: bool,
    pub users: Vec<String>,
    pub groups: Vec<String>,
    /// Namespace and name.
    pub service_accounts: Vec<(String, String)>,
    pub format: Option<Format>,
}

/// `kubectl etcd-backup cleanup`.
#[derive(Debug, Clone)]
pub struct CleanupOptions {
    pub cluster: ClusterOptions,
    pub all: bool,
    /// The directory on this machine; no cluster is asked then.
    pub local: Option<PathBuf>,
    /// Do not ask before a file is deleted.
    pub yes: bool,
    pub format: Option<Format>,
}

/// `kubectl etcd-backup verify`.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    pub cluster: ClusterOptions,
    pub files: Vec<PathBuf>,
    pub document: Option<PathBuf>,
    pub require_checksum: bool,
    pub against_cluster: bool,
    pub hash_limits: HashLimits,
    pub format: Option<Format>,
}
