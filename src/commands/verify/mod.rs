//! `verify`: verifies files that were taken before, without a cluster.
//!
//! A snapshot may lie for months before it is needed; what was verified when it was taken can be verified again at any
//! time. Each file gets a row or a document, each bad one its sentence, and the exit code says whether all are good.

mod against_cluster;
mod backup_document;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::VerifyOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::ui::{Table, Ui};
use crate::util::byte_size::decimal_bytes;
use crate::util::events::Events;
use against_cluster::{Cluster, Finding};
use backup_document::Expected;
use etcd_snapshot::{Contents, FileKind, Options, Problem, Report, Trailer};

pub(super) async fn run(options: &VerifyOptions, ui: &Ui) -> Result<()> {
    if options.document.is_some() && options.files.len() > 1 {
        return Err(Error::usage("--document describes one file, and several are named"));
    }
    let expected = options.document.as_deref().map(Expected::read).transpose()?;
    let cluster = if options.against_cluster { Some(Cluster::connect(options, ui).await?) } else { None };
    let mut verdicts = Vec::with_capacity(options.files.len());
    let mut failures = Vec::new();
    for path in &options.files {
        let (mut verdict, file, contents) = match examine(path.clone(), expected.clone()).await {
            Ok(examined) => examined,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        if let (Some(cluster), Some(contents)) = (&cluster, contents) {
            let check = match cluster.compare(&file, contents).await {
                Ok(check) => check,
                Err(error) => {
                    // What is known of this file and the others is told all the same.
                    failures.push(error);
                    verdicts.push(verdict);
                    continue;
                }
            };
            verdict.verified.members = check.label();
            match cluster.finding(&verdict.file, &check) {
                Finding::Agrees => {}
                Finding::Warning(warning) => ui.warn(&warning),
                Finding::Bad(error) => failures.push(error),
            }
        }
        verdicts.push(verdict);
    }
    let printed = print(options, ui, &verdicts);
    failures.extend(verdicts.iter().filter_map(Verdict::error));
    for warning in verdicts.iter().filter_map(Verdict::warning) {
        ui.warn(&warning);
    }
    // A bad file decides the exit code, wherever it stood among the words.
    failures.sort_by_key(|error| error.kind() == ErrorKind::BadFile);
    let last = failures.pop();
    failures.iter().for_each(|error| ui.error(error));
    last.map_or(printed, Err)
}

/// What is printed of a file. Field names are those of a backup's document, where both have them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    file: String,
    size_bytes: u64,
    sha256: Option<String>,
    /// `snapshot` or `member database`; null when it is neither.
    format: Option<&'static str>,
    hash: Option<u32>,
    revision: Option<i64>,
    compact_revision: Option<i64>,
    total_keys: Option<u64>,
    total_size_bytes: Option<u64>,
    storage_version: Option<String>,
    verified: Levels,
    problems: Vec<Flaw>,
    #[serde(skip)]
    alarms: u64,
}

/// What each level found.
#[derive(Debug, Serialize)]
struct Levels {
    checksum: &'static str,
    structure: &'static str,
    members: &'static str,
}

#[derive(Debug, Serialize)]
struct Flaw {
    what: String,
    offset: Option<u64>,
    hint: String,
}

async fn examine(path: PathBuf, expected: Option<Expected>) -> Result<(Verdict, File, Option<Contents>)> {
    let work = move || {
        let name = path.display().to_string();
        let failed = |why: String| Error::failed(format!("cannot read {name}: {why}"));
        let file = open(&path).map_err(failed)?;
        let report = etcd_snapshot::check(&file, &Options::default()).map_err(|failure| failed(failure.to_string()))?;
        Ok((Verdict::new(name, &report, expected.as_ref()), file, report.contents))
    };
    let thread = tokio::task::spawn_blocking(work);
    thread.await.unwrap_or_else(|_| Err(Error::failed("the thread that reads the file ended unexpectedly")))
}

/// Opens a plain file; anything else has no size and no places to read at.
fn open(path: &Path) -> Result<File, String> {
    // Before it is opened: that would wait for ever at a pipe.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no plain file".to_owned());
    }
    File::open(path).map_err(|error| error.to_string())
}

impl Verdict {
    fn new(file: String, report: &Report, expected: Option<&Expected>) -> Self {
        let contents = report.contents.as_ref();
        let sha256 = report.sha256.map(|sum| sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut problems: Vec<Flaw> = report.problems.iter().cloned().map(Flaw::from).collect();
        if file.ends_with(".part")
            && let Some(first) = problems.first_mut()
        {
            first.hint = format!("{}; etcdctl names a file .part until it is complete", first.hint);
        }
        if let Some(expected) = expected {
            let differs = expected.differs(report.size, sha256.as_deref(), contents.map(|contents| contents.hash));
            problems.extend(differs.map(|what| Flaw {
                what,
                offset: None,
                hint: "it is another file, or this one was changed after the backup".to_owned(),
            }));
        }
        Verdict {
            file,
            size_bytes: report.size,
            sha256,
            format: report.kind.map(|kind| match kind {
                FileKind::Snapshot => "snapshot",
                FileKind::MemberDatabase => "member database",
            }),
            hash: contents.map(|contents| contents.hash),
            revision: contents.map(|contents| contents.last_revision),
            compact_revision: contents.map(etcd_snapshot::Contents::compact_revision),
            total_keys: contents.map(|contents| contents.total_keys),
            total_size_bytes: contents.map(|contents| contents.total_size),
            storage_version: contents.and_then(|contents| contents.storage_version.clone()),
            verified: Levels {
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

    /// What a person is told of a bad file.
    fn error(&self) -> Option<Error> {
        let mut problems = self.problems.iter();
        let first = problems.next()?;
        let error = Error::new(ErrorKind::BadFile, format!("{}: {}", self.file, first.sentence())).hint(&first.hint);
        Some(problems.fold(error, |error, problem| error.hint(format!("also: {}", problem.sentence()))))
    }

    fn warning(&self) -> Option<String> {
        (self.alarms > 0).then(|| {
            format!(
                "{}: an alarm was raised when it was taken; a cluster restored from it may refuse writes until 'etcdctl \
                 alarm disarm'",
                self.file
            )
        })
    }

    fn row(&self) -> Vec<String> {
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

impl Flaw {
    fn sentence(&self) -> String {
        match self.offset {
            Some(offset) => format!("{} (at byte {offset})", self.what),
            None => self.what.clone(),
        }
    }
}

impl From<Problem> for Flaw {
    fn from(problem: Problem) -> Self {
        Flaw { what: problem.what, offset: problem.offset, hint: problem.hint }
    }
}

/// A table, or with `-o` a document: of one file itself, of several a list as kubectl makes it.
fn print(options: &VerifyOptions, ui: &Ui, verdicts: &[Verdict]) -> Result<()> {
    #[derive(Serialize)]
    struct List<'a> {
        items: &'a [Verdict],
    }
    match (options.format, verdicts) {
        (_, []) => Ok(()),
        (Some(format), [only]) if options.files.len() == 1 => ui.document(format, only),
        (Some(format), items) => ui.document(format, &List { items }),
        (None, _) => {
            let mut table = Table::new(&[
                "FILE",
                "HASH",
                "REVISION",
                "TOTAL KEYS",
                "TOTAL SIZE",
                "STORAGE VERSION",
                "CHECKSUM",
                "STRUCTURE",
                "MEMBERS",
            ]);
            verdicts.iter().for_each(|verdict| table.row(&verdict.row()));
            table.take_lines().iter().try_for_each(|line| ui.println(line))
        }
    }
}
