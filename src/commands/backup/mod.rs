//! The default action: takes a backup and verifies it.

mod backup_run;
mod check_table;
mod destination;
mod document;
mod download;
mod dry_run;
mod failover;
mod interruption;
mod leftovers;
mod multi_context;
mod outcome;
mod permission_review;
mod read_back;
mod readiness;
mod request;
mod reserved_names;
mod result;
mod select;
mod single_context;
mod summary;
mod verified_file;

use super::context::Context;
use crate::cli::BackupOptions;
use crate::error::Result;
use crate::k8s::KubeClient;
use crate::signals::Signals;
use crate::ui::Ui;

/// Backs up one cluster or several, or checks whether a backup would succeed.
pub(super) async fn run(options: &BackupOptions, ui: &Ui, signals: &mut Signals) -> Result<()> {
    let contexts = KubeClient::selected_contexts(&options.cluster.connect, options.all_contexts)?;
    leftovers::warn_about_leftovers(options, ui);
    if !contexts.is_empty() {
        return multi_context::run(options, contexts, ui, signals).await;
    }
    if options.dry_run {
        let dry_run = async { dry_run::run(options, &Context::connect(&options.cluster, ui).await?, ui).await };
        return signals.run_until_signal(dry_run).await;
    }
    single_context::run(options, ui, signals).await
}
