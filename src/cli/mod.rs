//! The command line.
//!
//! Flags have the names that kubectl uses. Each command has a file for its flags, and each group of shared flags has
//! one. [`parse_args`] converts them into [`options`]; clap types do not leave this module.

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

use crate::ui::{Format, OutputOptions};
use backup::BackupArgs;
use cleanup::CleanupArgs;
use connection::ConnectionArgs;
use members::MembersArgs;
use output::OutputArgs;
use rbac::RbacArgs;
use verify::VerifyArgs;

/// Where Kubernetes documents the restore.
pub const RESTORE_URL: &str =
    "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster";

/// Printed below the flags; [`RESTORE_URL`] follows.
const ABOUT_BACKUPS: &str = "\
A kubeconfig is enough. A short-lived job on the member's node runs etcdctl from etcd's own image, and the kubelet \
serves the file; the job and its file are deleted as soon as all bytes have arrived. If that is not allowed, or if you \
give etcd certificates, another transport is used (--transport). Then the file is checked page by page and compared \
with the data of the members.

A snapshot holds every object of the cluster, including Secrets: store it in a secure place. It does not hold \
application data or volumes, and it is not a rollback mechanism. Cluster services are unavailable while a restore runs.
Restore: ";

const EXIT_CODES: &str = "\
Exit codes:
  0    verified
  1    failed: API unreachable, copy broken, pod not ready, not enough space, --out exists
  2    usage: bad flags, unknown context or member
  3    not allowed: credentials, RBAC, admission, Pod Security
  4    the complete file is bad, or a member is
  5    no etcd found
  130, 143, 129  ended by Ctrl-C, SIGTERM or SIGHUP
  141  standard output was closed";

/// Take an etcd snapshot of a Kubernetes cluster, download it and verify it
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kubectl-etcd_backup",
    bin_name = "kubectl etcd-backup",
    version,
    max_term_width = 100,
    after_help = format!("{ABOUT_BACKUPS}{RESTORE_URL}\n\n{EXIT_CODES}")
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

/// Every command except for the default action.
#[derive(Debug, Clone, Subcommand)]
enum Subcommands {
    /// Show the etcd members: role, version, size, revision, lag, alarms, health
    Members(MembersArgs),
    /// Print the least roles and bindings that a backup needs
    Rbac(RbacArgs),
    /// Delete what earlier runs left on the cluster or on this machine
    Cleanup(CleanupArgs),
    /// Verify snapshot files: checksum, structure and, with a cluster, the members' data
    Verify(VerifyArgs),
}

/// Parses the arguments of this process.
///
/// # Errors
/// clap's error, also for `--help` and `--version`. [`clap::Error::exit`] prints it and sets the exit code.
pub fn parse_args() -> Result<Invocation, clap::Error> {
    parse_words(std::env::args_os())
}

/// Parses these arguments; the first one is the name of the program.
pub fn parse_words<W, I>(words: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = W>,
    W: Into<std::ffi::OsString> + Clone,
{
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words)?;
    if let Some((name, _)) = matches.subcommand() {
        let mut backup_ids = BackupArgs::argument_ids();
        if let Some(id) = backup_ids.find(|id| matches.value_source(id) == Some(ValueSource::CommandLine)) {
            let flag = id.replace('_', "-");
            return Err(command.error(ErrorKind::ArgumentConflict, format!("--{flag} cannot be used with '{name}'")));
        }
    }
    let cli = Cli::from_arg_matches(&matches)?;
    let is_table = matches!(cli.output.output, Some(Format::Wide | Format::Name));
    if is_table && !matches!(cli.command, Some(Subcommands::Members(_))) {
        let message = "-o wide and -o name can only be used with 'members'; use json or yaml";
        return Err(command.error(ErrorKind::InvalidValue, message));
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
        Invocation { command, output: OutputOptions { quiet: output.quiet }, verbosity: output.verbosity }
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
    fn a_dash_alone_is_standard_output() {
        let out = |word: &str| match parse(&format!("--out={word}")).expect("a destination").command {
            Command::Backup(options) => options.out,
            other => panic!("{other:?} is not a backup"),
        };
        assert_eq!(out("-"), OutFile::Stdout);
        for path in ["-/", "-/.", "./-"] {
            assert_eq!(out(path), OutFile::Path(path.into()));
        }
    }

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    /// Every command with its arguments and their headings.
    fn commands() -> Vec<clap::Command> {
        let mut root = Cli::command();
        root.build();
        let subcommands: Vec<clap::Command> =
            root.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
        std::iter::once(root).chain(subcommands).collect()
    }

    #[test]
    fn help_texts_have_less_than_100_characters() {
        let mut texts = Vec::new();
        for command in commands() {
            texts.extend(command.get_about().map(|about| (command.get_name().to_owned(), about.to_string())));
            texts.extend(command.get_arguments().map(|arg| {
                let help = arg.get_help().map(ToString::to_string);
                (format!("{} {arg}", command.get_name()), help.unwrap_or_default())
            }));
        }
        assert!(texts.len() > 50, "{texts:?}");
        let wrong: Vec<_> = texts.iter().filter(|(_, text)| !(1..100).contains(&text.chars().count())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_argument_has_a_heading() {
        for command in commands() {
            let without = command.get_arguments().filter(|arg| arg.get_help_heading().is_none());
            let ids: Vec<&str> = without.map(|arg| arg.get_id().as_str()).collect();
            let allowed = ["help", "version"];
            assert!(ids.iter().all(|id| allowed.contains(id)), "{}: {ids:?}", command.get_name());
        }
    }

    #[test]
    fn the_flags_of_the_hash_check_have_one_heading() {
        for command in commands() {
            let of_hash = command.get_arguments().filter(|arg| arg.get_id().as_str().starts_with("hash_"));
            for arg in of_hash {
                assert_eq!(arg.get_help_heading(), Some(hash_check::HEADING), "{arg}");
            }
        }
    }

    #[test]
    fn usage_shows_the_kubectl_form() {
        let error = parse("--nonsense").expect_err("an unknown flag is refused");
        assert!(error.contains("Usage: kubectl etcd-backup"), "{error}");
    }

    #[test]
    fn connection_flags_may_stand_before_or_after_the_subcommand() {
        for line in ["--context a cleanup", "cleanup --context a"] {
            let Command::Cleanup(options) = parse(line).expect("kubectl accepts both orders").command else {
                panic!("{line} is not a cleanup")
            };
            assert_eq!(options.cluster.connect.context.as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_value_may_be_the_name_of_a_subcommand() {
        let Command::Backup(options) = parse("--verify members --member verify").expect("both are values").command
        else {
            panic!("it is a backup")
        };
        assert_eq!((options.verify, options.member.as_deref()), (Some(Level::Members), Some("verify")));
    }

    #[test]
    fn flags_of_a_backup_are_refused_with_a_subcommand() {
        let error = parse("--out x cleanup").expect_err("cleanup has no --out");
        assert!(error.contains("--out cannot be used with 'cleanup'"), "{error}");
    }

    #[test]
    fn only_members_prints_tables_and_names() {
        let Command::Members(options) = parse("members -o wide").expect("a table").command else {
            panic!("members is not a backup")
        };
        assert_eq!(options.format, Some(Format::Wide));
        let error = parse("-o name").expect_err("a backup prints a document");
        assert!(error.contains("can only be used with 'members'"), "{error}");
    }

    #[test]
    fn a_file_name_after_dash_o_gets_a_hint() {
        let error = parse("-o snap.db").expect_err("-o is the format");
        assert!(error.contains("--out snap.db"), "{error}");
    }

    #[test]
    fn verbosity_has_the_format_of_kubectl() {
        assert_eq!(parse("-v=6").expect("short").verbosity, 6);
        assert_eq!(parse("--v=4").expect("long").verbosity, 4);
    }
}
