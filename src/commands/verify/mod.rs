//! `verify`: verifies files that already exist.
//!
//! A snapshot may be months old when it is needed. Each file gets a row or a document, each bad file an error. The exit
//! code reports whether all files are good.

mod against_cluster;
mod backup_document;
mod file_lock;
mod file_report;

use serde::Serialize;

use crate::cli::VerifyOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::ui::{Table, Ui};
use crate::util::events::Events;
use against_cluster::{Finding, ReferenceCluster};
use backup_document::ExpectedFile;
use file_report::{CheckedFile, Expected, FileReport, check_file};

pub(super) async fn run(options: &VerifyOptions, ui: &Ui) -> Result<()> {
    if options.document.is_some() && options.files.len() > 1 {
        return Err(Error::usage("--document cannot be used with several files")
            .hint("verify each file with its own --document"));
    }
    let document = options.document.as_deref().map(ExpectedFile::read).transpose()?;
    let expected = Expected { document, checksum: options.require_checksum };
    let cluster = if options.against_cluster { Some(ReferenceCluster::connect(options, ui).await?) } else { None };
    let mut reports = Vec::with_capacity(options.files.len());
    let mut failures = Vec::new();
    for path in &options.files {
        let CheckedFile { mut report, file, contents } = match check_file(path.clone(), expected.clone()).await {
            Ok(checked) => checked,
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        if let (Some(cluster), Some(contents)) = (&cluster, contents) {
            let check = match cluster.compare(&file, contents).await {
                Ok(check) => check,
                Err(error) => {
                    // The results so far and the other files are still printed.
                    failures.push(error);
                    reports.push(report);
                    continue;
                }
            };
            report.verified.members = check.label();
            match cluster.conclude(&report.file, &check) {
                Finding::Agrees => {}
                Finding::Warning(warning) => ui.warn(&warning),
                Finding::Bad(error) => failures.push(error),
            }
        }
        reports.push(report);
    }
    let printed = print_reports(options, ui, &reports);
    failures.extend(reports.iter().filter_map(FileReport::error));
    for warning in reports.iter().filter_map(FileReport::warning) {
        ui.warn(&warning);
    }
    // The last error decides the exit code, and a bad file matters more than one that cannot be read.
    failures.sort_by_key(|error| error.kind() == ErrorKind::BadFile);
    let last = failures.pop();
    failures.iter().for_each(|error| ui.error(error));
    last.map_or(printed, Err)
}

/// Prints a table, or with `-o` documents: one for a single file, a list for several, as kubectl does.
fn print_reports(options: &VerifyOptions, ui: &Ui, reports: &[FileReport]) -> Result<()> {
    #[derive(Serialize)]
    struct List<'a> {
        items: &'a [FileReport],
    }
    match (options.format, reports) {
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
            reports.iter().for_each(|report| table.add_row(&report.to_row()));
            table.take_lines().iter().try_for_each(|line| ui.println(line))
        }
    }
}
