//! Several clusters in one run: each is backed up by itself, a few at a time, and none stops the others.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, OnceLock, PoisonError};

use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};

use super::destination::file_part;
use super::document::BackupDocument;
use super::{BackupResult, back_up, removal_unconfirmed};
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::{Error, ErrorKind, Result, Signal};
use crate::signals::{Signals, internal, interrupted};
use crate::snapshot::RemoteResources;
use crate::ui::{MultiProgressUi, Table, Ui, restore_terminal};
use crate::util::byte_size::binary_bytes;
use crate::util::events::Events;

/// Backs up each of `contexts`. Whatever ends it, all that was created is removed before this returns.
pub(super) async fn run(options: &BackupOptions, contexts: Vec<String>, ui: &Ui, signals: &mut Signals) -> Result<()> {
    check(options, &contexts)?;
    let lines = MultiProgressUi::new(ui, &contexts);
    let backup = |context: String| {
        let own = lines.ui_for_context(ui, &context);
        Backup::new(options, context, own)
    };
    let backups: Vec<Backup> = contexts.into_iter().map(backup).collect();

    let work = stream::iter(&backups).for_each_concurrent(options.parallel, Backup::run);
    let ended = signals.interrupt(work.map(Ok)).await;
    restore_terminal();
    if ended.is_err() {
        if backups.iter().any(|backup| backup.owned.was_used() && backup.is_open()) {
            ui.status("Removing what was created on the clusters; a second signal ends at once");
        }
        let removal = stream::iter(&backups).for_each_concurrent(None, Backup::remove);
        tokio::select! {
            () = removal => {}
            signal = signals.next() => {
                ui.warn_always(&removal_unconfirmed("everything that was created"));
                return Err(interrupted(signal));
            }
        }
    }
    let results: Vec<ContextResult> = backups.iter().map(Backup::result).collect();
    let shown = show(options, ui, &results);
    ended?;
    for result in &results {
        if let Some(error) = &result.error {
            ui.error(&error.clone().context(&result.context));
        }
    }
    match worst(results.iter().filter_map(|result| result.error.as_ref().map(Error::kind))) {
        None => shown,
        Some(kind) => {
            let failed = results.iter().filter(|result| result.error.is_some()).count();
            Err(Error::new(kind, format!("{failed} of {} clusters: no good backup", results.len())))
        }
    }
}

fn check(options: &BackupOptions, contexts: &[String]) -> Result<()> {
    let connect = &options.cluster.connect;
    if options.dry_run {
        return Err(Error::usage("--dry-run=client looks at one cluster at a time"));
    }
    if connect.server.is_some() || connect.cluster.is_some() {
        return Err(Error::usage("--server and --cluster name one cluster, and several contexts were given"));
    }
    let Some(directory) = &options.out_dir else {
        return Err(Error::usage(format!("{} clusters need a directory for their files", contexts.len()))
            .hint("name it with --out-dir DIR; each file has the default name"));
    };
    if !directory.is_dir() {
        return Err(Error::failed(format!("{} is no directory", directory.display()))
            .hint(format!("make it first: mkdir -p {}", directory.display())));
    }
    let mut names: Vec<String> = contexts.iter().map(|context| file_part(context)).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage(format!("two of the contexts would give files of the same name: etcd-{}-…", pair[0]))
            .hint("name each context once, or back them up one after the other with --out"));
    }
    Ok(())
}

/// The backup of one cluster.
struct Backup {
    context: String,
    options: BackupOptions,
    ui: Ui,
    owned: RemoteResources,
    cluster: OnceLock<Context>,
    outcome: Mutex<Option<Result<BackupResult>>>,
}

impl Backup {
    fn new(options: &BackupOptions, context: String, ui: Ui) -> Self {
        let mut options = options.clone();
        options.cluster.connect.context = Some(context.clone());
        options.cluster.connect.unattended = true;
        let owned = RemoteResources::default();
        Backup { context, options, ui, owned, cluster: OnceLock::new(), outcome: Mutex::default() }
    }

    async fn run(&self) {
        self.ui.status("connecting");
        let work = async {
            let context = Context::connect(&self.options.cluster, &self.ui).await?;
            let context = self.cluster.get_or_init(|| context);
            back_up(&self.options, context, &self.owned, &self.ui).await
        };
        let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(internal()));
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

    fn is_open(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn remove(&self) {
        let Some(context) = self.cluster.get() else { return };
        if let Err(error) = self.owned.remove(&context.client).await {
            self.ui.warn_always(&error);
        }
    }

    fn result(&self) -> ContextResult {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let not_done = || Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"));
        let (document, error) = match outcome.unwrap_or_else(not_done) {
            Ok(result) => (Some(result.document), result.error),
            Err(error) => (None, Some(error)),
        };
        let server = self.cluster.get().map(|context| context.client.server().to_owned());
        ContextResult { context: self.context.clone(), server, document, error }
    }
}

/// How the backup of one cluster ended.
struct ContextResult {
    context: String,
    server: Option<String>,
    document: Option<BackupDocument>,
    error: Option<Error>,
}

impl ContextResult {
    /// The backup's own document; after a failure with what went wrong.
    fn value(&self) -> Value {
        let nothing = || json!({"cluster": {"server": self.server, "context": self.context}});
        let document = self.document.as_ref().and_then(|document| serde_json::to_value(document).ok());
        let mut value = document.unwrap_or_else(nothing);
        if let Some(error) = &self.error {
            value["error"] = json!(error.message());
            value["hints"] = json!(error.hints());
            value["exitCode"] = json!(error.kind().exit_code());
        }
        value
    }

    /// Context, member, file, size, revision, seconds, result.
    fn cells(&self) -> Vec<String> {
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

/// The documents, or the table.
fn show(options: &BackupOptions, ui: &Ui, results: &[ContextResult]) -> Result<()> {
    if let Some(format) = options.format {
        return ui.document(format, &results.iter().map(ContextResult::value).collect::<Vec<_>>());
    }
    if ui.is_quiet() {
        return Ok(());
    }
    let mut table = Table::new(&["CONTEXT", "MEMBER", "FILE", "SIZE", "REVISION", "TIME", "RESULT"]);
    results.iter().for_each(|result| table.row(&result.cells()));
    table.take_lines().iter().try_for_each(|line| ui.println(line))
}

/// The kind that decides the exit code: 130, 143, 129, 141, 4, 3, 1, 2, 5, in this order.
fn worst(kinds: impl Iterator<Item = ErrorKind>) -> Option<ErrorKind> {
    const ORDER: [u8; 9] = [130, 143, 129, 141, 4, 3, 1, 2, 5];
    kinds.min_by_key(|kind| ORDER.iter().position(|code| *code == kind.exit_code()).unwrap_or(ORDER.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_the_exit_code() {
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
            assert_eq!(worst(rest.into_iter()), Some(order[from]));
        }
        assert_eq!(worst(std::iter::empty()), None);
    }
}
