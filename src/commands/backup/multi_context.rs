//! Backs up several clusters in one run, a few at a time. A failed backup does not stop the others.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};

use super::backup_run::back_up;
use super::destination::file_name_part;
use super::document::BackupDocument;
use super::interruption::removal_unconfirmed;
use super::reserved_names::ReservedNames;
use super::result::BackupResult;
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::{Error, ErrorKind, Result, Signal};
use crate::signals::{Signals, interruption_error, panic_error};
use crate::snapshot::RemoteResources;
use crate::ui::{Table, Ui, restore_terminal};
use crate::util::byte_size::binary_bytes;
use crate::util::events::Events;

/// Backs up each of `contexts`. In every case everything that was created is deleted before this returns, unless a
/// second signal arrives.
pub(super) async fn run(options: &BackupOptions, contexts: Vec<String>, ui: &Ui, signals: &mut Signals) -> Result<()> {
    validate_options(options, &contexts)?;
    let lines = ui.context_lines(&contexts);
    let names = Arc::new(ReservedNames::default());
    let backup = |context: String| {
        let own_ui = ui.for_context(&lines, &context);
        ContextBackup::new(options, context, Arc::clone(&names), own_ui)
    };
    let backups: Vec<ContextBackup> = contexts.into_iter().map(backup).collect();

    let work = stream::iter(&backups).for_each_concurrent(options.parallel, ContextBackup::run);
    let ended = signals.run_until_signal(work.map(Ok)).await;
    restore_terminal();
    if ended.is_err() {
        if backups.iter().any(|backup| backup.remote.was_created() && backup.is_running()) {
            ui.status("Removing what was created on the clusters; a second signal exits at once");
        }
        let removal = stream::iter(&backups).for_each_concurrent(None, ContextBackup::remove);
        tokio::select! {
            () = removal => {}
            signal = signals.next_signal() => {
                ui.warn_always(&removal_unconfirmed("everything that was created"));
                return Err(interruption_error(signal));
            }
        }
    }
    let results: Vec<ContextResult> = backups.iter().map(ContextBackup::take_result).collect();
    let printed = print_results(options, ui, &results);
    ended?;
    for result in &results {
        if let Some(error) = &result.error {
            ui.error(&error.clone().context(&result.context));
        }
    }
    match worst_kind(results.iter().filter_map(|result| result.error.as_ref().map(Error::kind))) {
        None => printed,
        Some(kind) => {
            let failed = results.iter().filter(|result| result.error.is_some()).count();
            Err(Error::new(kind, format!("the backup failed for {failed} of {} clusters", results.len())))
        }
    }
}

fn validate_options(options: &BackupOptions, contexts: &[String]) -> Result<()> {
    let connect = &options.cluster.connect;
    if options.dry_run {
        return Err(Error::usage("--dry-run=client cannot be used with several contexts")
            .hint("check one context at a time with --context"));
    }
    if connect.server.is_some() || connect.cluster.is_some() {
        return Err(Error::usage("--server and --cluster cannot be used with several contexts")
            .hint("remove them; each context names its cluster"));
    }
    let Some(directory) = &options.out_dir else {
        return Err(Error::usage(format!(
            "cannot back up {} clusters: there is no directory for the files",
            contexts.len()
        ))
        .hint("name the directory with --out-dir; each file gets its default name"));
    };
    if !directory.is_dir() {
        return Err(Error::failed(format!("cannot write to {}: it is not a directory", directory.display()))
            .hint(format!("create it with 'mkdir -p {}'", directory.display())));
    }
    let mut names: Vec<String> = contexts.iter().map(|context| file_name_part(context)).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage(format!(
            "cannot name the files: two contexts have the same default name etcd-{}-…",
            pair[0]
        ))
        .hint("name each context once, or back them up one after the other with --out"));
    }
    Ok(())
}

/// The backup of one cluster.
struct ContextBackup {
    context: String,
    options: BackupOptions,
    ui: Ui,
    remote: RemoteResources,
    /// Shared by all contexts.
    names: Arc<ReservedNames>,
    /// Set when the connection is prepared.
    connection: OnceLock<Context>,
    outcome: Mutex<Option<Result<BackupResult>>>,
}

impl ContextBackup {
    fn new(options: &BackupOptions, context: String, names: Arc<ReservedNames>, ui: Ui) -> Self {
        let mut options = options.clone();
        options.cluster.connect.context = Some(context.clone());
        options.cluster.connect.unattended = true;
        let remote = RemoteResources::default();
        ContextBackup { context, options, ui, remote, names, connection: OnceLock::new(), outcome: Mutex::default() }
    }

    async fn run(&self) {
        self.ui.status("connecting");
        let work = async {
            let context = Context::connect(&self.options.cluster, &self.ui).await?;
            let context = self.connection.get_or_init(|| context);
            back_up(&self.options, context, &self.remote, &self.names, &OnceLock::new(), &self.ui).await
        };
        let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panic_error()));
        self.remove().await;
        let error = match &outcome {
            Ok(result) => result.error.as_ref(),
            Err(error) => Some(error),
        };
        match error {
            None => self.ui.finish_line("backed up"),
            Some(error) => self.ui.finish_line(&format!("failed: {}", error.message())),
        }
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn is_running(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn remove(&self) {
        let Some(context) = self.connection.get() else { return };
        if let Err(error) = self.remote.remove(&context.client).await {
            self.ui.warn_always(&error);
        }
    }

    fn take_result(&self) -> ContextResult {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let interrupted = || Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"));
        let (document, error) = match outcome.unwrap_or_else(interrupted) {
            Ok(result) => (Some(result.document), result.error),
            Err(error) => (None, Some(error)),
        };
        let server = self.connection.get().map(|context| context.client.server().to_owned());
        ContextResult { context: self.context.clone(), server, document, error }
    }
}

/// The result of the backup of one cluster.
struct ContextResult {
    context: String,
    server: Option<String>,
    document: Option<BackupDocument>,
    error: Option<Error>,
}

impl ContextResult {
    /// Returns the document of the backup; after a failure it also has the error.
    fn to_value(&self) -> Value {
        let cluster_only = || json!({"cluster": {"server": self.server, "context": self.context}});
        let document = self.document.as_ref().and_then(|document| serde_json::to_value(document).ok());
        let mut value = document.unwrap_or_else(cluster_only);
        if let Some(error) = &self.error {
            value["error"] = json!(error.message());
            value["hints"] = json!(error.hints());
            value["exitCode"] = json!(error.kind().exit_code());
        }
        value
    }

    /// Returns the cells of the table: context, member, file, size, revision, time, result.
    fn to_cells(&self) -> Vec<String> {
        let of_document = |cell: &dyn Fn(&BackupDocument) -> Option<String>| {
            self.document.as_ref().and_then(cell).unwrap_or_else(|| "<none>".to_owned())
        };
        vec![
            self.context.clone(),
            of_document(&|document| Some(document.member.name.clone())),
            of_document(&|document| Some(document.file.clone())),
            of_document(&|document| Some(binary_bytes(document.size_bytes))),
            of_document(&|document| document.revision.map(|revision| revision.to_string())),
            of_document(&|document| Some(format!("{}s", document.duration_seconds.round()))),
            self.error.as_ref().map_or("ok", Error::message).to_owned(),
        ]
    }
}

/// Prints the documents or the table.
fn print_results(options: &BackupOptions, ui: &Ui, results: &[ContextResult]) -> Result<()> {
    if let Some(format) = options.format {
        return ui.document(format, &results.iter().map(ContextResult::to_value).collect::<Vec<_>>());
    }
    if ui.is_quiet() {
        return Ok(());
    }
    let mut table = Table::new(&["CONTEXT", "MEMBER", "FILE", "SIZE", "REVISION", "TIME", "RESULT"]);
    results.iter().for_each(|result| table.add_row(&result.to_cells()));
    table.take_lines().iter().try_for_each(|line| ui.println(line))
}

/// Returns the kind that decides the exit code, in the order of docs/scripting.md.
fn worst_kind(kinds: impl Iterator<Item = ErrorKind>) -> Option<ErrorKind> {
    const ORDER: [u8; 9] = [130, 143, 129, 141, 4, 3, 1, 2, 5];
    kinds.min_by_key(|kind| ORDER.iter().position(|code| *code == kind.exit_code()).unwrap_or(ORDER.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(document: Option<BackupDocument>, error: Option<Error>) -> ContextResult {
        ContextResult { context: "prod".to_owned(), server: Some("https://a:6443".to_owned()), document, error }
    }

    #[test]
    fn a_failed_backup_has_a_row_and_a_document_with_its_error() {
        let failed = result(None, Some(Error::not_allowed("not allowed to list pods").hint("run rbac")));
        assert_eq!(failed.to_cells().join(" "), "prod <none> <none> <none> <none> <none> not allowed to list pods");
        assert_eq!(
            failed.to_value(),
            json!({
                "cluster": {"server": "https://a:6443", "context": "prod"},
                "error": "not allowed to list pods", "hints": ["run rbac"], "exitCode": 3,
            })
        );
    }

    #[test]
    fn the_worst_kind_decides_the_exit_code() {
        let interrupted = ErrorKind::Interrupted(Signal::Interrupt);
        let order = [
            interrupted,
            ErrorKind::Interrupted(Signal::Terminate),
            ErrorKind::BadFile,
            ErrorKind::NotAllowed,
            ErrorKind::Failed,
            ErrorKind::Usage,
            ErrorKind::NoEtcd,
        ];
        for from in 0..order.len() {
            let mut rest = order[from..].to_vec();
            rest.reverse();
            assert_eq!(worst_kind(rest.into_iter()), Some(order[from]));
        }
        assert_eq!(worst_kind(std::iter::empty()), None);
    }
}
