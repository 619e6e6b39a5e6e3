//! What the command line asks for, ready to use: no clap type leaves this room.
//!
//! The structs with clap's attributes say how flags are typed; these say what a command needs. Parts that belong to
//! another room are that room's own option types.

use std::path::PathBuf;
use std::time::Duration;

use crate::etcd;
use crate::etcd::hash_kv::HashLimits;
use crate::k8s::ConnectOptions;
use crate::snapshot::{Limits, TransportPreference};
use crate::ui::{self, Format};
use crate::verification::Level;

/// One call of the program.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub command: Command,
    pub output: ui::Options,
    /// klog's level, as kubectl's `-v`.
    pub verbosity: u8,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Command {
    Backup(Box<BackupOptions>),
    Members(MembersOptions),
    Rbac(RbacOptions),
    Cleanup(CleanupOptions),
    Verify(VerifyOptions),
}

/// Which cluster, and its etcd.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub connect: ConnectOptions,
    pub etcd: etcd::Options,
    /// `--etcd-user`; the password is still to be asked for.
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
    /// The level that must hold; `None`: as far as is possible.
    pub verify: Option<Level>,
    pub member: Option<String>,
    pub transport: TransportPreference,
    pub image: Option<String>,
    pub limits: Limits,
    pub hash_limits: HashLimits,
    /// A copy that takes longer has the members asked while it runs.
    pub hash_after: Duration,
    pub dry_run: bool,
    pub failover: bool,
    pub all_contexts: bool,
    pub parallel: usize,
    pub format: Option<Format>,
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutFile {
    /// A file with this name.
    Path(PathBuf),
    /// A file that is named after the context, the member and the time.
    DefaultName,
    /// Standard output.
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
    pub format: Option<Format>,
}

/// `kubectl etcd-backup verify`.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    pub cluster: ClusterOptions,
    pub files: Vec<PathBuf>,
    pub document: Option<PathBuf>,
    pub against_cluster: bool,
    pub hash_limits: HashLimits,
    pub format: Option<Format>,
}
