//! The destination of a backup: checked before the first request, created when the member is known.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;

use super::reserved_names::ReservedNames;
use crate::cli::{BackupOptions, OutFile};
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::storage::local_file::{self, PendingFile};
use crate::storage::output_writer::OutputWriter;
use crate::util::byte_size::decimal_bytes;
use crate::util::disk_space;
use crate::verification::Level;

/// A destination that was checked.
#[derive(Debug)]
pub(super) enum Destination {
    Stdout,
    /// The temporary file beside this path.
    Prepared(PendingFile, PathBuf),
    /// A file in the output directory, which is writable.
    DefaultName,
}

/// Checks the destination, and creates the temporary file if its name is known.
///
/// # Errors
/// The flags exclude each other, the file exists, or its directory is not writable.
pub(super) fn validate_destination(options: &BackupOptions) -> Result<Destination> {
    match &options.out {
        OutFile::Stdout => validate_stdout(options, std::io::stdout().is_terminal()),
        OutFile::Path(path) => {
            Ok(Destination::Prepared(local_file::create_pending(path, options.force)?, path.clone()))
        }
        OutFile::DefaultName => {
            local_file::check_directory(out_dir(options))?;
            Ok(Destination::DefaultName)
        }
    }
}

fn validate_stdout(options: &BackupOptions, is_terminal: bool) -> Result<Destination> {
    if options.format.is_some() {
        return Err(Error::usage("--out - cannot be used with -o: both write to standard output")
            .hint("write the snapshot to a file with --out to get the document"));
    }
    if is_terminal {
        return Err(Error::usage("refusing to write a binary snapshot to the terminal")
            .hint("redirect standard output to a pipe or a file, or name a file with --out"));
    }
    if options.verify.is_some_and(|level| level != Level::Checksum) {
        return Err(Error::usage(
            "--verify structure and members need a file; --out - supports only --verify checksum",
        )
        .hint("write the snapshot to a file with --out, or remove --verify"));
    }
    if options.read_back {
        return Err(Error::usage("--read-back needs a file, and --out - writes none")
            .hint("write the snapshot to a file with --out, or remove --read-back"));
    }
    Ok(Destination::Stdout)
}

/// Returns the directory of a file with the default name; empty for the current one.
pub(super) fn out_dir(options: &BackupOptions) -> &Path {
    options.out_dir.as_deref().unwrap_or(Path::new(""))
}

/// Returns the path of a file in the directory of the destination, and what messages call the destination; `None` for
/// standard output.
pub(super) fn location(options: &BackupOptions) -> Option<(PathBuf, String)> {
    let directory = out_dir(options);
    match &options.out {
        OutFile::Stdout => None,
        OutFile::Path(path) => Some((path.clone(), path.display().to_string())),
        OutFile::DefaultName if directory.as_os_str().is_empty() => {
            Some(("etcd.db".into(), "this directory".to_owned()))
        }
        OutFile::DefaultName => Some((directory.join("etcd.db"), format!("directory {}", directory.display()))),
    }
}

/// Checks that a database of `db_size` bytes fits on this machine. Returns the free space, if the system tells it.
///
/// # Errors
/// The file system has less free space than the database needs.
pub(super) fn check_free_space(options: &BackupOptions, db_size: Option<u64>) -> Result<Option<u64>> {
    let Some((path, shown)) = location(options) else { return Ok(None) };
    let free = disk_space::available_bytes(&path);
    match (free, db_size) {
        (Some(free), Some(size)) if free < size => Err(Error::failed(format!(
            "not enough space for {shown}: {} free, the database has {}",
            decimal_bytes(free),
            decimal_bytes(size)
        ))
        .hint("choose a directory on another file system with --out or --out-dir, or free some space")),
        _ => Ok(free),
    }
}

impl Destination {
    /// Creates what is missing. A default name is reserved in `names`. Returns the temporary file, the writer, and the
    /// name for messages.
    pub(super) fn open(
        self,
        options: &BackupOptions,
        client: &KubeClient,
        member: &Member,
        started_at: Timestamp,
        names: &ReservedNames,
    ) -> Result<(Option<PendingFile>, OutputWriter, String)> {
        let (pending, path) = match self {
            Destination::Stdout => return Ok((None, OutputWriter::Stdout(std::io::stdout()), "-".to_owned())),
            Destination::Prepared(pending, path) => (pending, path),
            Destination::DefaultName => {
                let name = default_name(client.name(), &member.name, started_at);
                let path = names.reserve(&out_dir(options).join(name));
                (local_file::create_pending(&path, options.force)?, path)
            }
        };
        let writer = pending.writer()?;
        Ok((Some(pending), writer, path.display().to_string()))
    }
}

/// Returns `etcd-CONTEXT-MEMBER-TIME.db`.
fn default_name(context: &str, member: &str, time: Timestamp) -> PathBuf {
    let time = time.strftime("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("etcd-{}-{}-{time}.db", file_name_part(context), file_name_part(member)))
}

/// Replaces the characters that are unusual in a file name by dashes.
pub(super) fn file_name_part(name: &str) -> String {
    let is_usual = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    name.chars().map(|character| if is_usual(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse_words};
    use crate::error::ErrorKind;

    fn options(line: &str) -> BackupOptions {
        let words = std::iter::once("kubectl-etcd_backup").chain(line.split_whitespace());
        match parse_words(words).expect(line).command {
            Command::Backup(options) => *options,
            other => panic!("{other:?} is not a backup"),
        }
    }

    #[test]
    fn standard_output_takes_a_snapshot_but_no_document_and_only_the_first_level() {
        for line in ["--out -", "--out - --verify checksum"] {
            assert!(matches!(validate_stdout(&options(line), false), Ok(Destination::Stdout)), "{line}");
        }
        for (line, is_terminal, message) in [
            ("--out - -o json", false, "--out - cannot be used with -o"),
            ("--out -", true, "refusing to write a binary snapshot to the terminal"),
            ("--out - --verify structure", false, "need a file"),
            ("--out - --verify members", false, "need a file"),
        ] {
            let error = validate_stdout(&options(line), is_terminal).expect_err(line);
            assert_eq!(error.kind(), ErrorKind::Usage, "{line}");
            assert!(error.message().contains(message), "{error}");
            assert!(!error.hints().is_empty(), "{line}");
        }
    }

    #[test]
    fn a_named_file_has_its_temporary_file_before_the_first_request() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("snap.db");
        let line = format!("--out {}", file.display());
        let destination = validate_destination(&options(&line)).expect("it is writable");
        assert!(matches!(&destination, Destination::Prepared(_, path) if *path == file), "{destination:?}");
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 1);
        drop(destination);
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);

        std::fs::write(&file, "old").expect("it is written");
        let error = validate_destination(&options(&line)).expect_err("it exists");
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.hints()[0].contains("--force"), "{error:?}");
        validate_destination(&options(&format!("{line} --force"))).expect("it may be replaced");
    }

    #[test]
    fn a_default_name_needs_a_directory_that_is_writable() {
        let directory = tempfile::tempdir().expect("a directory");
        let line = format!("--out-dir {}", directory.path().display());
        assert!(matches!(validate_destination(&options(&line)), Ok(Destination::DefaultName)));
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
        let error = validate_destination(&options(&format!("{line}/missing"))).expect_err("it is missing");
        assert!(error.message().starts_with("cannot write to directory "), "{error}");
    }

    #[test]
    fn a_default_name_has_the_context_the_member_and_the_time() {
        let time: Timestamp = "2026-01-31T02:00:00Z".parse().expect("a time");
        let name = default_name("admin@prod", "cp1", time);
        assert_eq!(name, Path::new("etcd-admin-prod-cp1-20260131T020000Z.db"));
    }

    #[test]
    fn unusual_characters_of_a_file_name_become_dashes() {
        assert_eq!(file_name_part("admin@prod/eu:6443"), "admin-prod-eu-6443");
        assert_eq!(file_name_part("a.b_c-1"), "a.b_c-1");
        assert_eq!(file_name_part("../x"), "..-x");
    }
}
