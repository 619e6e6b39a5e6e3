//! Several clusters in one run: each is backed up by itself, a few at a time, and none stops the others.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, OnceLock, PoisonError};

use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};

use super::destination::file_part;
use super::{back_up, not_awaited};
use crate::cli::{Cli, OutputFormat};
use crate::error::{Error, ErrorKind, Result, Signal};
use crate::k8s::KubeClient;
use crate::signals::{Signals, internal, interrupted};
use crate::snapshot::RemoteResources;
use crate::ui::{MultiProgressUi, Table, Ui, binary_bytes, restore_terminal};

/// Backs up each of `contexts`. Whatever ends it, all that was created is removed before this returns.
pub async fn run(cli: &Cli, contexts: Vec<String>, ui: &Ui, signals: &mut Signals) -> Result<()> {
    check(cli, &contexts)?;
    let lanes = MultiProgressUi::new(ui, &contexts);
    let backup = |context: String| {
        let voice = lanes.ui_for_context(ui, &context);
        Backup::new(cli, context, voice)
    };
    let backups: Vec<Backup> = contexts.into_iter().map(backup).collect();

    let work = stream::iter(&backups).for_each_concurrent(cli.backup.plan.parallel, Backup::run);
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
                ui.warn_always(&not_awaited("everything that was created"));
                return Err(interrupted(signal));
            }
        }
    }
    let ends: Vec<End> = backups.iter().map(Backup::end).collect();
    let shown = show(cli, ui, &ends);
    ended?;
    for end in &ends {
        if let Some(error) = &end.error {
            ui.error(&error.clone().context(&end.context));
        }
    }
    match worst(ends.iter().filter_map(|end| end.error.as_ref().map(Error::kind))) {
        None => shown,
        Some(kind) => {
            let failed = ends.iter().filter(|end| end.error.is_some()).count();
            Err(Error::new(kind, format!("{failed} of {} clusters: no good backup", ends.len())))
        }
    }
}

fn check(cli: &Cli, contexts: &[String]) -> Result<()> {
    let connection = &cli.connection;
    if cli.backup.plan.is_dry() {
        return Err(Error::usage("--dry-run=client looks at one cluster at a time"));
    }
    if connection.server.is_some() || connection.cluster.is_some() {
        return Err(Error::usage("--server and --cluster name one cluster, and several contexts were given"));
    }
    let Some(directory) = &cli.backup.plan.out_dir else {
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
    cli: Cli,
    ui: Ui,
    owned: RemoteResources,
    cluster: OnceLock<KubeClient>,
    outcome: Mutex<Option<Result<()>>>,
}

/// How it ended.
struct End {
    context: String,
    server: Option<String>,
    document: Option<Value>,
    error: Option<Error>,
}

impl Backup {
    fn new(cli: &Cli, context: String, ui: Ui) -> Self {
        let mut cli = cli.clone();
        cli.connection.context = Some(context.clone());
        cli.connection.unattended = true;
        // What the table at the end is made of.
        cli.talk.output = Some(OutputFormat::Json);
        Backup {
            context,
            cli,
            ui,
            owned: RemoteResources::default(),
            cluster: OnceLock::new(),
            outcome: Mutex::default(),
        }
    }

    async fn run(&self) {
        self.ui.status("connecting");
        let work = async {
            let cluster = KubeClient::connect(&self.cli.connection).await?;
            let cluster = self.cluster.get_or_init(|| cluster);
            back_up(&self.cli, &self.ui, cluster, &self.owned).await
        };
        let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(internal()));
        self.remove().await;
        match &outcome {
            Ok(()) => self.ui.finish_line("backed up"),
            Err(error) => self.ui.finish_line(&format!("failed: {}", error.message())),
        }
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn is_open(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn remove(&self) {
        let Some(cluster) = self.cluster.get() else { return };
        if let Err(error) = self.owned.remove(cluster).await {
            self.ui.warn_always(&error);
        }
    }

    fn end(&self) -> End {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let not_done = || Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"));
        End {
            context: self.context.clone(),
            server: self.cluster.get().map(|cluster| cluster.server().to_owned()),
            document: self.ui.kept_document(),
            error: outcome.unwrap_or_else(not_done).err(),
        }
    }
}

impl End {
    /// The backup's own document; after a failure with what went wrong.
    fn value(&self) -> Value {
        let nothing = || json!({"cluster": {"server": self.server, "context": self.context}});
        let mut value = self.document.clone().unwrap_or_else(nothing);
        if let Some(error) = &self.error {
            value["error"] = json!(error.message());
            value["hints"] = json!(error.hints());
            value["exitCode"] = json!(error.kind().exit_code());
        }
        value
    }

    /// Context, member, file, size, revision, seconds, result.
    fn cells(&self) -> Vec<String> {
        let known = self.document.clone().unwrap_or_default();
        let text = |value: &Value| match value {
            Value::Null => "<none>".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let result = match &self.error {
            None => "ok".to_owned(),
            Some(error) => error.message().to_owned(),
        };
        vec![
            self.context.clone(),
            text(&known["member"]["name"]),
            text(&known["file"]),
            known["sizeBytes"].as_u64().map_or_else(|| "<none>".to_owned(), binary_bytes),
            text(&known["revision"]),
            known["durationSeconds"].as_f64().map_or_else(|| "<none>".to_owned(), |time| format!("{}s", time.round())),
            result,
        ]
    }
}

/// The documents, or the table.
fn show(cli: &Cli, ui: &Ui, ends: &[End]) -> Result<()> {
    if let Some(format) = cli.talk.output {
        return ui.document(format, &ends.iter().map(End::value).collect::<Vec<_>>());
    }
    if ui.is_quiet() {
        return Ok(());
    }
    let mut table = Table::new(&["CONTEXT", "MEMBER", "FILE", "SIZE", "REVISION", "TIME", "RESULT"]);
    ends.iter().for_each(|end| table.row(&end.cells()));
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
