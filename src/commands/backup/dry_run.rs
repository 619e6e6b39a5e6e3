//! `--dry-run=client`: does everything that a backup does before it creates something.
//!
//! It does not stop at the first problem, so that the user can solve all of them at once.

use super::check_table::CheckTable;
use super::destination::validate_destination;
use super::request::snapshot_request;
use super::select::choose_member;
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::Result;
use crate::snapshot::TransportProbe;
use crate::ui::Ui;
use crate::util::events::Events;

/// Prints the result of each check.
///
/// # Errors
/// The most important problem that a backup would have.
pub(super) async fn run(options: &BackupOptions, context: &Context, ui: &Ui) -> Result<()> {
    let destination = validate_destination(options).map(drop);
    let members = context.discover_verbose(ui).await?;
    let chosen = choose_member(&members, options.member.as_deref(), &context.client, ui).await?;
    let request = snapshot_request(options, context, &members, chosen);

    let mut table = CheckTable::new();
    table.check_member(&members, chosen);
    let job = match TransportProbe::new(&context.client, &request).await {
        Ok(probe) => table.check_transports(&context.client, &chosen.member, probe, request.db_size).await,
        Err(error) => {
            table.add_failure("transport", error);
            None
        }
    };
    table.check_destination(options, destination, request.db_size);

    let (lines, worst) = table.finish();
    lines.iter().for_each(|line| ui.status(line));
    match (job, options.format, &worst) {
        (Some(job), Some(format), _) => ui.document(format, &job)?,
        (Some(job), None, None) => {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            ui.println(&format!("job.batch/{name} created (dry run)"))?;
        }
        _ => {}
    }
    worst.map_or(Ok(()), |error| Err(error.context("the backup would fail")))
}
