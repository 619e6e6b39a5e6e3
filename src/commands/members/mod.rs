//! `members`: what is known of each etcd member, as a table or for scripts.

mod row;
pub mod select;

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use crate::cli::{Cli, MembersArgs, OutputFormat};
use crate::error::Result;
use crate::k8s::KubeClient;
use crate::ui::{Table, Ui};
use row::MemberRow;
use select::MemberSet;

/// Prints the members; with `--watch`, again each that changed, until it is interrupted.
pub(super) async fn run(cli: &Cli, args: &MembersArgs, ui: &Ui) -> Result<()> {
    let cluster = KubeClient::connect(&cli.connection).await?;
    let mut printer = Printer::new(cli.talk.output, ui);
    let (rows, warnings) = look(cli, &cluster, ui).await?;
    printer.first(&rows)?;
    printer.warn(&warnings);
    let mut known = rows;
    if !args.watch {
        return Ok(());
    }
    loop {
        tokio::time::sleep(args.interval).await;
        match look(cli, &cluster, ui).await {
            Ok((rows, warnings)) => {
                let changed: Vec<MemberRow> = rows.iter().filter(|row| !known.contains(row)).cloned().collect();
                printer.again(&changed)?;
                printer.warn(&warnings);
                known = rows;
            }
            // An API server that restarts is what somebody who watches expects.
            Err(error) => printer.warn(&[error.message().to_owned()]),
        }
    }
}

async fn look(cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<(Vec<MemberRow>, Vec<String>)> {
    let mut field = MemberSet::discover(cli, cluster, ui).await?;
    field.ask_expiries(cli, cluster).await;
    Ok((field.rows(), field.gaps()))
}

struct Printer<'u> {
    format: Option<OutputFormat>,
    table: Table,
    ui: &'u Ui,
    told: BTreeSet<String>,
}

impl<'u> Printer<'u> {
    fn new(format: Option<OutputFormat>, ui: &'u Ui) -> Self {
        let table = Table::new(&MemberRow::headers(format == Some(OutputFormat::Wide)));
        Printer { format, table, ui, told: BTreeSet::new() }
    }

    /// All members: in JSON and YAML one list.
    fn first(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (OutputFormat::Json | OutputFormat::Yaml)) => self.ui.document(format, &rows),
            _ => self.again(rows),
        }
    }

    /// Those that changed: in JSON and YAML one document each, as kubectl does.
    fn again(&mut self, rows: &[MemberRow]) -> Result<()> {
        match self.format {
            Some(format @ (OutputFormat::Json | OutputFormat::Yaml)) => {
                rows.iter().try_for_each(|row| self.ui.document(format, row))
            }
            Some(OutputFormat::Name) => {
                rows.iter().try_for_each(|row| self.ui.println(&format!("pod/{}", row.pod_name())))
            }
            Some(OutputFormat::Wide) | None => {
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
