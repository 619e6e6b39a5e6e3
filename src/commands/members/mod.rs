//! `members`: prints the status of each etcd member as a table or a document.

pub mod row;

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::context::Context;
use crate::cli::MembersOptions;
use crate::error::Result;
use crate::etcd::MemberSet;
use crate::ui::{Format, Table, Ui};
use crate::util::events::Events;
use row::{MemberRow, member_rows};

/// Prints all members. With `--watch` it then prints each member that changed, until it is interrupted.
pub(super) async fn run(options: &MembersOptions, ui: &Ui) -> Result<()> {
    let context = Context::connect(&options.cluster, ui).await?;
    let mut printer = RowPrinter::new(options.format, ui);
    let (rows, warnings) = list_members(&context).await?;
    printer.print_all(&rows)?;
    printer.warn_once(&warnings);
    let mut known = rows;
    if !options.watch {
        return Ok(());
    }
    loop {
        tokio::time::sleep(options.interval).await;
        match list_members(&context).await {
            Ok((rows, warnings)) => {
                let changed: Vec<MemberRow> = rows.iter().filter(|row| !known.contains(row)).cloned().collect();
                printer.print_each(&changed)?;
                printer.warn_once(&warnings);
                known = rows;
            }
            // The API server may restart during a watch.
            Err(error) => printer.warn_once(&[error.message().to_owned()]),
        }
    }
}

async fn list_members(context: &Context) -> Result<(Vec<MemberRow>, Vec<String>)> {
    let mut set = context.discover().await?;
    set.probe_certificates(&context.client, &context.etcd).await;
    Ok((member_rows(&set), status_warnings(&set)))
}

/// Returns a warning for each status that is unknown. Members with the same reason have one warning.
fn status_warnings(set: &MemberSet) -> Vec<String> {
    let mut reasons: BTreeSet<&str> = set.warnings.iter().filter_map(|warning| warning.reason.as_deref()).collect();
    let mut warnings: Vec<String> = set.warnings.iter().map(|warning| warning.message.clone()).collect();
    for state in &set.members {
        if let Some(reason) = state.probe.reason()
            && reasons.insert(reason)
        {
            warnings.push(format!("cannot get the status of member {}: {reason}", state.member.name));
        }
    }
    warnings
}

/// Prints rows in the format of `-o`.
struct RowPrinter<'u> {
    format: Option<Format>,
    table: Table,
    ui: &'u Ui,
    /// The warnings that were printed.
    warned: BTreeSet<String>,
}

impl<'u> RowPrinter<'u> {
    fn new(format: Option<Format>, ui: &'u Ui) -> Self {
        let table = Table::new(&MemberRow::headers(format == Some(Format::Wide)));
        RowPrinter { format, table, ui, warned: BTreeSet::new() }
    }

    /// Prints all members; JSON and YAML have one list.
    fn print_all(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (Format::Json | Format::Yaml)) => self.ui.document(format, &rows),
            _ => self.print_each(rows),
        }
    }

    /// Prints some members; JSON and YAML have a document for each, as with `kubectl get --watch`.
    fn print_each(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (Format::Json | Format::Yaml)) => {
                rows.iter().try_for_each(|row| self.ui.document(format, row))
            }
            Some(Format::Name) => rows.iter().try_for_each(|row| self.ui.println(&format!("pod/{}", row.pod_name()))),
            Some(Format::Wide) | None => {
                let wide = self.format.is_some();
                for row in rows {
                    self.table.add_row(&row.cells(wide, Timestamp::now()));
                }
                self.table.take_lines().iter().try_for_each(|line| self.ui.println(line))
            }
        }
    }

    fn warn_once(&mut self, warnings: &[String]) {
        for warning in warnings {
            if self.warned.insert(warning.clone()) {
                self.ui.warn(warning);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::{Member, MemberProbe, MemberState, MemberWarning};
    use crate::test_support::pod;

    #[test]
    fn members_with_the_same_reason_have_one_warning() {
        let state = |name: &str, reason: &str| MemberState {
            member: Member::from_pod(pod(name, &["etcd"], true)).expect("it runs etcd"),
            probe: MemberProbe::Unknown(reason.to_owned()),
            credentials: Vec::new(),
            certificate_expiry: None,
        };
        let members = vec![state("cp1", "forbidden"), state("cp2", "refused"), state("cp3", "refused")];
        let warning = MemberWarning { message: "no exec: forbidden".to_owned(), reason: Some("forbidden".to_owned()) };
        let set = MemberSet { members, verified_origin: None, unmatched: Vec::new(), warnings: vec![warning] };
        assert_eq!(status_warnings(&set), ["no exec: forbidden", "cannot get the status of member cp2: refused"]);
    }
}
