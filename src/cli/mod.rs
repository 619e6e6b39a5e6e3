//! The command line: what the user can ask for, and nothing of how it is done.
//!
//! Flags have kubectl's names where kubectl has them. One file holds the flags of one subcommand; those that several
//! share have a file each. [`parse_args`] turns them into [`options`], and no clap type leaves this room.

mod backup;
mod cleanup;
mod connection;
mod etcd_client;
mod etcd_pod;
mod hash_check;
mod members;
mod options;
mod output;
mod rbac;
mod value_parser;
mod verify;

pub use options::{
    BackupOptions, CleanupOptions, ClusterOptions, Command, Invocation, MembersOptions, OutFile, RbacOptions,
    VerifyOptions,
};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::ui::{self, Format};
use backup::BackupArgs;
use cleanup::CleanupArgs;
use connection::ConnectionArgs;
use members::MembersArgs;
use output::OutputArgs;
use rbac::RbacArgs;
use verify::VerifyArgs;

/// What every user has to know, below the flags.
const AFTER_HELP: &str = "\
A kubeconfig is enough. A short-lived job on the member's node runs etcdctl from etcd's own image, and the kubelet \
serves the file; the job and its file are deleted as soon as all bytes have arrived. If that is not allowed, or if you \
give etcd certificates, another transport is used (--transport). Then the file is checked page by page and compared \
with the data of the members.

A snapshot holds every object of the cluster, including Secrets: store it in a secure place. It does not hold \
application data or volumes, and it is not a rollback mechanism. Cluster services are unavailable while a restore runs.
Restore: https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster

Exit codes:
  0    verified
  1    failed: API unreachable, copy broken, pod not ready, not enough space, --out exists
  2    usage: bad flags, unknown context or member
  3    not allowed: credentials, RBAC, admission, Pod Security
  4    the complete file is bad, or a member is
  5    no etcd found
  130, 143, 129  ended by Ctrl-C, SIGTERM or SIGHUP
  141  standard output was closed";

/// Takes an etcd snapshot of a Kubernetes cluster, downloads it and verifies it.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kubectl-etcd_backup",
    bin_name = "kubectl etcd-backup",
    version,
    max_term_width = 100,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,

    #[command(flatten)]
    backup: BackupArgs,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Everything but the default action.
#[derive(Debug, Clone, Subcommand)]
enum Subcommands {
    /// Show the etcd members: role, version, size, revision, lag, alarms, health
    Members(MembersArgs),
    /// Print the least roles and bindings that a backup needs
    Rbac(RbacArgs),
    /// Delete what earlier runs left on the cluster
    Cleanup(CleanupArgs),
    /// Verify snapshot files: checksum, structure and, with a cluster, the members' data
    Verify(VerifyArgs),
}

/// Parses the arguments of this process.
///
/// # Errors
/// clap's error, which also carries `--help` and `--version`; [`clap::Error::exit`] shows it as it should be.
pub fn parse_args() -> Result<Invocation, clap::Error> {
    parse_words(std::env::args_os())
}

fn parse_words<W, I>(words: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = W>,
    W: Into<std::ffi::OsString> + Clone,
{
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words)?;
    if let Some((name, _)) = matches.subcommand() {
        let mut of_backup = BackupArgs::augmented_ids();
        if let Some(id) = of_backup.find(|id| matches.value_source(id) == Some(ValueSource::CommandLine)) {
            let flag = id.replace('_', "-");
            return Err(command.error(ErrorKind::ArgumentConflict, format!("--{flag} cannot be used with '{name}'")));
        }
    }
    let cli = Cli::from_arg_matches(&matches)?;
    let is_table = matches!(cli.output.output, Some(Format::Wide | Format::Name));
    if is_table && !matches!(cli.command, Some(Subcommands::Members(_))) {
        let what = "-o wide and -o name work with 'members' only; use json or yaml";
        return Err(command.error(ErrorKind::InvalidValue, what));
    }
    Ok(cli.into())
}

impl From<Cli> for Invocation {
    fn from(cli: Cli) -> Self {
        let Cli { command, backup, connection, output } = cli;
        let format = output.output;
        let command = match command {
            None => Command::Backup(Box::new(backup.options(&connection, format))),
            Some(Subcommands::Members(args)) => Command::Members(args.options(&connection, format)),
            Some(Subcommands::Rbac(args)) => Command::Rbac(args.options(&connection, format)),
            Some(Subcommands::Cleanup(args)) => Command::Cleanup(args.options(&connection, format)),
            Some(Subcommands::Verify(args)) => Command::Verify(args.options(&connection, format)),
        };
        Invocation { command, output: ui::Options { quiet: output.quiet }, verbosity: output.verbosity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verification::Level;

    fn parse(line: &str) -> Result<Invocation, String> {
        parse_words(std::iter::once("kubectl-etcd_backup").chain(line.split_whitespace()))
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
            let Command::Cleanup(options) = parse(line).expect("both orders are kubectl's").command else {
                panic!("{line} is not a cleanup")
            };
            assert_eq!(options.cluster.connect.context.as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_value_may_be_the_name_of_a_subcommand() {
        let Command::Backup(options) = parse("--verify members --member verify").expect("both are values").command else {
            panic!("it is a backup")
        };
        assert_eq!((options.verify, options.member.as_deref()), (Some(Level::Members), Some("verify")));
    }

    #[test]
    fn flags_of_a_backup_are_refused_beside_a_subcommand() {
        let error = parse("--out x cleanup").expect_err("--out means nothing to cleanup");
        assert!(error.contains("--out cannot be used with 'cleanup'"), "{error}");
    }

    #[test]
    fn tables_are_for_members() {
        let Command::Members(options) = parse("members -o wide").expect("a table").command else {
            panic!("members is not a backup")
        };
        assert_eq!(options.format, Some(Format::Wide));
        let error = parse("-o name").expect_err("a backup prints a document");
        assert!(error.contains("work with 'members' only"), "{error}");
    }

    #[test]
    fn a_file_name_after_dash_o_gets_a_hint() {
        let error = parse("-o snap.db").expect_err("-o is the format");
        assert!(error.contains("--out snap.db"), "{error}");
    }

    #[test]
    fn verbosity_is_written_as_kubectl_writes_it() {
        assert_eq!(parse("-v=6").expect("short").verbosity, 6);
        assert_eq!(parse("--v=4").expect("long").verbosity, 4);
    }
}
