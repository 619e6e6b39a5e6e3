//! `members`: what is known of each etcd member, as a table or for scripts.

mod row;
pub mod select;

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::context::Context;
use crate::cli::MembersOptions;
use crate::error::Result;
use crate::ui::{Format, Table, Ui};
use crate::util::events::Events;
use row::MemberRow;

/// Prints the members; with `--watch`, again each that changed, until it is interrupted.
pub(super) async fn run(options: &MembersOptions, ui: &Ui) -> Result<()> {
    let context = Context::connect(&options.cluster, ui).await?;
    let mut printer = Printer::new(options.format, ui);
    let (rows, warnings) = list(&context).await?;
    printer.first(&rows)?;
    printer.warn(&warnings);
    let mut known = rows;
    if !options.watch {
        return Ok(());
    }
    loop {
        tokio::time::sleep(options.interval).await;
        match list(&context).await {
            Ok((rows, warnings)) => {
                let changed: Vec<MemberRow> = rows.iter().filter(|row| !known.contains(row)).cloned().collect();
                printer.again(&changed)?;
                printer.warn(&warnings);
                known = rows;
            }
            // While members are watched, the API server may restart.
            Err(error) => printer.warn(&[error.message().to_owned()]),
        }
    }
}

async fn list(context: &Context) -> Result<(Vec<MemberRow>, Vec<String>)> {
    let mut set = context.discover().await?;
    set.probe_certificates(&context.client, &context.etcd).await;
    Ok((select::rows(&set), select::gaps(&set)))
}

struct Printer<'u> {
    format: Option<Format>,
    table: Table,
    ui: &'u Ui,
    told: BTreeSet<String>,
}

impl<'u> Printer<'u> {
    fn new(format: Option<Format>, ui: &'u Ui) -> Self {
        let table = Table::new(&MemberRow::headers(format == Some(Format::Wide)));
        Printer { format, table, ui, told: BTreeSet::new() }
    }

    /// All members: in JSON and YAML one list.
    fn first(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (Format::Json | Format::Yaml)) => self.ui.document(format, &rows),
            _ => self.again(rows),
        }
    }

    /// Those that changed: in JSON and YAML one document each, as kubectl does.
    fn again(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (Format::Json | Format::Yaml)) => {
                rows.iter().try_for_each(|row| self.ui.document(format, row))
            }
            Some(Format::Name) => rows.iter().try_for_each(|row| self.ui.println(&format!("pod/{}", row.pod_name()))),
            Some(Format::Wide) | None => {
                let wide = self.format.is_some();
                for row in rows {
                    self.table.row(&row.cells(wide, Timestamp::now()));
                }
                self.table.take_lines().iter().try_for_each(|line| self.ui.println(line))
            }
        }
    }

    /// Each warning once.
    fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            if self.told.insert(warning.clone()) {
                self.ui.warn(warning);
            }
        }
    }
}
