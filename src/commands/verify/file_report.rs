//! The result of the check of one file.

use std::fs::File;
use std::path::{Path, PathBuf};

use etcd_snapshot::{Contents, FileKind, Options, Problem, ReadFailure, Report, Trailer};
use serde::Serialize;

use super::backup_document::ExpectedFile;
use super::file_lock::is_locked;
use crate::commands::verified_levels::VerifiedLevels;
use crate::error::{Error, ErrorKind, Result};
use crate::util::byte_size::decimal_bytes;

const IN_USE: &str = "take a snapshot of the running member with 'kubectl etcd-backup', or stop its etcd first";

/// The document of a file. Fields have the names of a backup's document, if that has them too.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileReport {
    pub file: String,
    size_bytes: u64,
    sha256: Option<String>,
    /// `snapshot` or `member database`; null if it is neither.
    format: Option<&'static str>,
    hash: Option<u32>,
    revision: Option<i64>,
    compact_revision: Option<i64>,
    total_keys: Option<u64>,
    total_size_bytes: Option<u64>,
    storage_version: Option<String>,
    pub verified: VerifiedLevels,
    problems: Vec<FileProblem>,
    #[serde(skip)]
    alarms: u64,
}

/// A problem in the document of a file.
#[derive(Debug, Serialize)]
struct FileProblem {
    what: String,
    offset: Option<u64>,
    hint: String,
}

/// What the user expects of a file.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub document: Option<ExpectedFile>,
    /// It must have a sha-256 at its end.
    pub checksum: bool,
}

/// A file that was checked.
pub(super) struct CheckedFile {
    pub report: FileReport,
    pub file: File,
    /// The figures, if the structure is sound.
    pub contents: Option<Contents>,
}

/// Checks the checksum and the structure of a file, and whether it is what is `expected`.
///
/// # Errors
/// The file cannot be read. A bad file is in [`FileReport::error`].
pub(super) async fn check_file(path: PathBuf, expected: Expected) -> Result<CheckedFile> {
    let work = move || {
        let name = path.display().to_string();
        let unreadable = |reason: String| Error::failed(format!("cannot read {name}: {reason}"));
        let file = open_file(&path).map_err(unreadable)?;
        if is_locked(&file) {
            return Err(unreadable("a running etcd has it open".to_owned()).hint(IN_USE));
        }
        let report = etcd_snapshot::check(&file, &Options::default()).map_err(|failure| {
            let error = unreadable(failure.to_string());
            if matches!(failure, ReadFailure::Changed) { error.hint(IN_USE) } else { error }
        })?;
        let file_report = FileReport::new(name, &report, &expected);
        Ok(CheckedFile { report: file_report, file, contents: report.contents })
    };
    let thread = tokio::task::spawn_blocking(work);
    thread.await.unwrap_or_else(|_| Err(Error::failed("cannot check the file: the checking thread panicked")))
}

/// Opens a plain file, because a pipe or a device has no size and no positions.
fn open_file(path: &Path) -> Result<File, String> {
    // Before the open, which would block at a pipe.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    File::open(path).map_err(|error| error.to_string())
}

impl FileReport {
    fn new(file: String, report: &Report, expected: &Expected) -> Self {
        let contents = report.contents.as_ref();
        let sha256 = report.sha256.map(|sum| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut problems: Vec<FileProblem> = report.problems.iter().cloned().map(FileProblem::from).collect();
        if file.ends_with(".part")
            && let Some(first) = problems.first_mut()
        {
            first.hint = format!("{}; etcdctl names a file .part until it is complete", first.hint);
        }
        if file.ends_with(".snap.db")
            && report.trailer == Trailer::Missing
            && let Some(last) = problems.last_mut().filter(|last| last.what.contains("is missing the sha-256"))
        {
            last.hint = format!("{}; the *.snap.db that a member received from its leader never has one", last.hint);
        }
        if expected.checksum && report.trailer == Trailer::Missing && problems.is_empty() {
            problems.push(FileProblem {
                what: "it does not have a sha-256 at its end, which --require-checksum asks for".to_owned(),
                offset: None,
                hint: "use a snapshot of the running member; a member's own database never has one".to_owned(),
            });
        }
        if let Some(expected) = &expected.document {
            let hash = contents.map(|contents| contents.hash);
            let difference = expected.find_difference(report.size, sha256.as_deref(), hash);
            problems.extend(difference.map(|what| FileProblem {
                what,
                offset: None,
                hint: "do not restore from it: it is another file, or it was changed after the backup".to_owned(),
            }));
        }
        FileReport {
            file,
            size_bytes: report.size,
            sha256,
            format: report.kind.map(|kind| match kind {
                FileKind::Snapshot => "snapshot",
                FileKind::MemberDatabase => "member database",
            }),
            hash: contents.map(|contents| contents.hash),
            revision: contents.map(|contents| contents.last_revision),
            compact_revision: contents.map(Contents::compact_revision),
            total_keys: contents.map(|contents| contents.total_keys),
            total_size_bytes: contents.map(|contents| contents.total_size),
            storage_version: contents.and_then(|contents| contents.storage_version.clone()),
            verified: VerifiedLevels {
                checksum: match (report.trailer, report.kind) {
                    (Trailer::Matches, _) => "verified",
                    (Trailer::Missing, Some(FileKind::MemberDatabase)) => "no trailer",
                    (_, None) => "not checked",
                    _ => "failed",
                },
                structure: match (report.is_sound(), report.kind) {
                    (true, _) => "verified",
                    (false, Some(_)) => "failed",
                    (false, None) => "not checked",
                },
                members: "not checked",
            },
            problems,
            alarms: contents.map(|contents| contents.alarms).unwrap_or_default(),
        }
    }

    /// Returns the error of a bad file: the first problem, with the others as hints.
    pub(super) fn error(&self) -> Option<Error> {
        let mut problems = self.problems.iter();
        let first = problems.next()?;
        let error = Error::new(ErrorKind::BadFile, format!("{}: {}", self.file, first.message())).hint(&first.hint);
        Some(problems.fold(error, |error, problem| error.hint(format!("also: {}", problem.message()))))
    }

    /// Returns the warning about alarms, which a restored cluster keeps.
    pub(super) fn warning(&self) -> Option<String> {
        (self.alarms > 0).then(|| {
            format!(
                "{}: an alarm was raised when it was taken; a cluster restored from it may refuse writes until 'etcdctl \
                 alarm disarm'",
                self.file
            )
        })
    }

    /// Returns the cells of the table.
    pub(super) fn to_row(&self) -> Vec<String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "<none>".to_owned());
        vec![
            self.file.clone(),
            or_none(self.hash.map(|hash| format!("{hash:x}"))),
            or_none(self.revision.map(|revision| revision.to_string())),
            or_none(self.total_keys.map(|keys| keys.to_string())),
            or_none(self.total_size_bytes.map(decimal_bytes)),
            or_none(self.storage_version.clone()),
            self.verified.checksum.to_owned(),
            self.verified.structure.to_owned(),
            self.verified.members.to_owned(),
        ]
    }
}

impl FileProblem {
    fn message(&self) -> String {
        match self.offset {
            Some(offset) => format!("{} (at byte {offset})", self.what),
            None => self.what.clone(),
        }
    }
}

impl From<Problem> for FileProblem {
    fn from(problem: Problem) -> Self {
        FileProblem { what: problem.what, offset: problem.offset, hint: problem.hint }
    }
}
