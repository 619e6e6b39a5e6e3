//! Where the file of a backup goes: checked before anything is asked of the cluster, made when the member is known.

use std::fs::File;
use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;

use crate::cli::{Cli, Level, OutFile};
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::storage::local_file;
use crate::storage::local_file::Writer;

/// What the file is called, checked before anything is asked of the cluster.
pub(super) enum Destination {
    Stdout,
    Prepared(local_file::Pending, File, PathBuf),
    Named,
}

/// A file that has no name yet; nothing where the bytes go to standard output.
pub(super) type Waiting = Option<(local_file::Pending, File)>;

pub(super) fn validate_destination(cli: &Cli) -> Result<Destination> {
    match cli.backup.destination() {
        OutFile::Stdout if cli.talk.output.is_some() => Err(Error::usage("--out - and -o both want standard output")
            .hint("write the snapshot to a file to get the document as well")),
        OutFile::Stdout if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            Err(Error::usage("standard output is a terminal, and a snapshot is no text")
                .hint("send it to a pipe or a file, or name a file with --out"))
        }
        OutFile::Stdout if cli.backup.verify.is_some_and(|level| level != Level::Checksum) => {
            Err(Error::usage("only a file can be proven further than its transport, and --out - writes none")
                .hint("write the snapshot to a file, or leave --verify out"))
        }
        OutFile::Stdout => Ok(Destination::Stdout),
        OutFile::File(path) => {
            let (pending, file) = local_file::prepare(&path, cli.backup.force)?;
            Ok(Destination::Prepared(pending, file, path))
        }
        OutFile::Named => {
            local_file::writable(cli.backup.directory())?;
            Ok(Destination::Named)
        }
    }
}

impl Destination {
    /// Makes what is not there yet: the temporary file, what the bytes are written to, and its name for people.
    pub(super) fn open(
        self,
        cli: &Cli,
        cluster: &KubeClient,
        member: &Member,
        started_at: Timestamp,
    ) -> Result<(Waiting, Writer, String)> {
        let (pending, file, path) = match self {
            Destination::Stdout => return Ok((None, Writer::Stdout(std::io::stdout()), "-".to_owned())),
            Destination::Prepared(pending, file, path) => (pending, file, path),
            Destination::Named => {
                let path = cli.backup.directory().join(default_name(cluster, member, started_at));
                let (pending, file) = local_file::prepare(&path, cli.backup.force)?;
                (pending, file, path)
            }
        };
        let copy = clone(&file)?;
        Ok((Some((pending, file)), Writer::File(copy), path.display().to_string()))
    }
}

fn clone(file: &File) -> Result<File> {
    file.try_clone().map_err(|error| Error::failed(format!("cannot use the temporary file: {error}")))
}

/// `etcd-CONTEXT-MEMBER-TIME.db` in the current directory; characters that do not belong into a file's name become
/// dashes.
fn default_name(cluster: &KubeClient, member: &Member, time: Timestamp) -> PathBuf {
    let time = time.strftime("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("etcd-{}-{}-{time}.db", file_part(cluster.name()), file_part(&member.name)))
}

/// A name as a part of a file's name.
pub(super) fn file_part(name: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    name.chars().map(|character| if plain(character) { character } else { '-' }).collect()
}
