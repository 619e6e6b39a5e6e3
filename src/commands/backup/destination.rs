//! Where the file of a backup goes: checked before anything is asked of the cluster, made when the member is known.

use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;

use crate::cli::{BackupOptions, OutFile};
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::storage::local_file::{self, PendingFile, Writer};
use crate::verification::Level;

/// Where the bytes go, checked as far as is possible before the member is known.
pub(super) enum Destination {
    Stdout,
    /// The temporary file beside this path.
    Prepared(PendingFile, PathBuf),
    /// A file in the output directory, which can be written to.
    DefaultName,
}

/// Checks the destination and makes the temporary file, if its name is known.
///
/// # Errors
/// The flags exclude each other, the file exists, or its directory cannot be written to.
pub(super) fn validate_destination(options: &BackupOptions) -> Result<Destination> {
    match &options.out {
        OutFile::Stdout if options.format.is_some() => Err(Error::usage("--out - and -o both want standard output")
            .hint("write the snapshot to a file to get the document as well")),
        OutFile::Stdout if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            Err(Error::usage("refusing to write a binary snapshot to the terminal")
                .hint("redirect standard output to a pipe or a file, or name a file with --out"))
        }
        OutFile::Stdout if options.verify.is_some_and(|level| level != Level::Checksum) => {
            Err(Error::usage("--verify structure and members need a file; --out - supports only --verify checksum")
                .hint("write the snapshot to a file, or remove --verify"))
        }
        OutFile::Stdout => Ok(Destination::Stdout),
        OutFile::Path(path) => Ok(Destination::Prepared(local_file::prepare(path, options.force)?, path.clone())),
        OutFile::DefaultName => {
            local_file::writable(out_dir(options))?;
            Ok(Destination::DefaultName)
        }
    }
}

/// Returns the directory of a file with the default name; empty for the current one.
pub(super) fn out_dir(options: &BackupOptions) -> &Path {
    options.out_dir.as_deref().unwrap_or(Path::new(""))
}

impl Destination {
    /// Makes what is not there yet: the temporary file, what the bytes are written to, and its name for messages.
    pub(super) fn open(
        self,
        options: &BackupOptions,
        client: &KubeClient,
        member: &Member,
        started_at: Timestamp,
    ) -> Result<(Option<PendingFile>, Writer, String)> {
        let (pending, path) = match self {
            Destination::Stdout => return Ok((None, Writer::Stdout(std::io::stdout()), "-".to_owned())),
            Destination::Prepared(pending, path) => (pending, path),
            Destination::DefaultName => {
                let path = out_dir(options).join(default_name(client, member, started_at));
                (local_file::prepare(&path, options.force)?, path)
            }
        };
        let writer = pending.writer()?;
        Ok((Some(pending), writer, path.display().to_string()))
    }
}

/// `etcd-CONTEXT-MEMBER-TIME.db`; characters that do not belong in a file name become dashes.
fn default_name(client: &KubeClient, member: &Member, time: Timestamp) -> PathBuf {
    let time = time.strftime("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("etcd-{}-{}-{time}.db", file_part(client.name()), file_part(&member.name)))
}

/// Returns a name as a part of a file name.
pub(super) fn file_part(name: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    name.chars().map(|character| if plain(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_part_of_a_file_name() {
        assert_eq!(file_part("admin@prod/eu:6443"), "admin-prod-eu-6443");
        assert_eq!(file_part("a.b_c-1"), "a.b_c-1");
        assert_eq!(file_part("../x"), "..-x");
    }
}
