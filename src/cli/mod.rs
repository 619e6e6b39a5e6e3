//! The command line: what can be asked for, and nothing of how it is done.
//!
//! Flags are named as kubectl names them. One file holds the flags of one subcommand; those that reach a cluster
//! are shared by all of them and live in [`connection`].

mod backup;
mod cleanup;
pub mod connection;
mod etcd_client;
mod etcd_pod;
mod hash_check;
mod members;
mod plan;
mod rbac;
mod value_parser;
mod verify;

pub use backup::{BackupArgs, Level, OutFile, TransportChoice};
pub use cleanup::CleanupArgs;
pub use connection::ConnectionArgs;
pub use etcd_client::EtcdClientArgs;
pub use etcd_pod::EtcdPodArgs;
pub use hash_check::HashCheckArgs;
pub use members::MembersArgs;
pub use plan::PlanArgs;
pub use rbac::RbacArgs;
pub use verify::VerifyArgs;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

use value_parser::output_format;

/// What every user has to know, below the flags.
const AFTER_HELP: &str = "\
Needs nothing but a kubeconfig: a short-lived job on the member's node runs etcdctl from etcd's own image, the kubelet \
serves the file, and both are removed as soon as all bytes are here. Where that is not open, or certificates of etcd are \
given, the file comes in another way (--transport). Then it is checked page by page and compared with what the members \
hold.

A snapshot holds every object of the cluster, Secrets among them: keep it in a secure place. It holds no application \
data or volumes, and it is no rollback mechanism. Cluster services are unavailable while a restore runs.
Restore: https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster

Exit codes:
  0    proven
  1    failed: API unreachable, copy broken, pod not ready, no room, --out exists
  2    usage: bad flags, unknown context or member
  3    not allowed: credentials, RBAC, admission, Pod Security
  4    the complete file is bad, or a member is
  5    no etcd found
  130, 143, 129  ended by Ctrl-C, SIGTERM or SIGHUP
  141  standard output was closed";

/// Takes an etcd snapshot of a Kubernetes cluster, brings it to this machine and proves that it is good.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kubectl-etcd_backup",
    bin_name = "kubectl etcd-backup",
    version,
    max_term_width = 100,
    subcommand_precedence_over_arg = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// What to do instead of a backup.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The flags of the default action.
    #[command(flatten)]
    pub backup: BackupArgs,

    /// How to reach the cluster.
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// How to talk.
    #[command(flatten)]
    pub talk: OutputArgs,
}

/// Everything but the default action.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show the etcd members: role, version, size, revision, lag, alarms, health
    Members(MembersArgs),
    /// Print the least roles and bindings that a backup needs
    Rbac(RbacArgs),
    /// Remove what earlier runs left on the cluster
    Cleanup(CleanupArgs),
    /// Prove that a snapshot is good: every byte, and every page of its database; a cluster is needed only to compare with it
    Verify(VerifyArgs),
}

/// Flags that decide what is printed, for every subcommand.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print a document on standard output: json or yaml (the file goes to --out); for members, too: wide or name
    #[arg(short = 'o', long, global = true, value_name = "FORMAT", value_parser = output_format)]
    pub output: Option<OutputFormat>,

    /// Print errors only
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub quiet: bool,

    /// Log level on standard error: 0 none, 2 steps, 4 details, 6 requests
    #[arg(short = 'v', long = "v", global = true, value_name = "N", default_value_t = 0)]
    pub verbosity: u8,
}

/// The form of the document on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object.
    Json,
    /// One YAML document.
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names only.
    Name,
}

impl Cli {
    /// Parses the arguments of this process.
    ///
    /// # Errors
    /// clap's error, which also carries `--help` and `--version`; [`clap::Error::exit`] shows it as it should be.
    pub fn parse_args() -> Result<Self, clap::Error> {
        Cli::parse_words(std::env::args_os())
    }

    fn parse_words<W, I>(words: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = W>,
        W: Into<std::ffi::OsString> + Clone,
    {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(words)?;
        if let Some((name, _)) = matches.subcommand() {
            let mut of_backup = BackupArgs::augmented_ids();
            if let Some(id) = of_backup.find(|id| matches.value_source(id) == Some(ValueSource::CommandLine)) {
                return Err(command.error(
                    clap::error::ErrorKind::ArgumentConflict,
                    format!("--{} belongs to a backup and means nothing to '{name}'", id.replace('_', "-")),
                ));
            }
        }
        let mut cli = Cli::from_arg_matches(&matches)?;
        // Who looks at the members reads these flags in one place, whatever the subcommand.
        let (etcd, pod) = match &cli.command {
            Some(Command::Members(args)) => (args.etcd.clone(), args.pod.clone()),
            Some(Command::Verify(args)) => (args.etcd.clone(), args.pod.clone()),
            _ => (cli.backup.etcd, cli.backup.pod),
        };
        (cli.backup.etcd, cli.backup.pod) = (etcd, pod);
        let table = matches!(cli.talk.output, Some(OutputFormat::Wide | OutputFormat::Name));
        if table && !matches!(cli.command, Some(Command::Members(_))) {
            let what = "-o wide and -o name are for 'members'; here it is json or yaml";
            return Err(command.error(clap::error::ErrorKind::InvalidValue, what));
        }
        Ok(cli)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::parse_words(std::iter::once("kubectl-etcd_backup").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_shows_the_kubectl_form() {
        let error = parse("--nonsense").expect_err("an unknown flag is refused");
        assert!(error.contains("Usage: kubectl etcd-backup"), "{error}");
    }

    #[test]
    fn connection_flags_may_stand_before_or_after_the_subcommand() {
        for line in ["--context a cleanup", "cleanup --context a"] {
            let cli = parse(line).expect("both orders are kubectl's");
            assert_eq!(cli.connection.context.as_deref(), Some("a"));
        }
    }

    #[test]
    fn flags_of_a_backup_are_refused_beside_a_subcommand() {
        let error = parse("--out x cleanup").expect_err("--out means nothing to cleanup");
        assert!(error.contains("--out belongs to a backup"), "{error}");
    }

    #[test]
    fn tables_are_for_members() {
        assert_eq!(parse("members -o wide").expect("a table").talk.output, Some(OutputFormat::Wide));
        let error = parse("-o name").expect_err("a backup prints a document");
        assert!(error.contains("are for 'members'"), "{error}");
    }

    #[test]
    fn a_file_name_after_dash_o_gets_a_hint() {
        let error = parse("-o snap.db").expect_err("-o is the format");
        assert!(error.contains("--out snap.db"), "{error}");
    }

    #[test]
    fn verbosity_is_written_as_kubectl_writes_it() {
        assert_eq!(parse("-v=6").expect("short").talk.verbosity, 6);
        assert_eq!(parse("--v=4").expect("long").talk.verbosity, 4);
    }
}
