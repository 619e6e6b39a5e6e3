//! The default action: take a backup, prove it, and say what to do with it.

mod destination;
pub mod document;
mod download;
pub mod dry_run;
mod failover;
pub mod multi_context;
pub mod outcome;
pub mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use download::{Download, DownloadError, Downloaded};

use super::members::select::MemberSet;
use crate::cli::{Cli, Level};
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::signals::Signals;
use crate::snapshot::RemoteResources;
use crate::ui::{Ui, restore_terminal};
use destination::{Destination, Waiting, validate_destination};
use document::{ClusterPart, Document};
use outcome::Outcome;
use summary::{document, print_summary, print_verification, verified};

/// Runs a backup. Whatever ends it, the job is removed before this returns; a second signal ends the wait for that.
pub(super) async fn run(cli: &Cli, ui: &Ui, signals: &mut Signals) -> Result<()> {
    let owned = RemoteResources::default();
    let cluster = signals.interrupt(KubeClient::connect(&cli.connection)).await?;
    let outcome = signals.interrupt(back_up(cli, ui, &cluster, &owned)).await;
    restore_terminal();
    let outcome = outcome.map_err(|error| match error.kind() {
        ErrorKind::Interrupted(_) if owned.is_there() => {
            ui.status(&format!("Removing {}; a second signal ends at once", owned.what()));
            error
        }
        ErrorKind::Interrupted(_) if owned.was_used() => error.context("the snapshot was not proven, and is removed"),
        ErrorKind::Interrupted(_) => error.context("nothing was done"),
        _ => error,
    });
    let removed = tokio::select! {
        removed = owned.remove(&cluster) => removed,
        signal = signals.next() => {
            ui.warn_always(&not_awaited(owned.what()));
            return outcome.and(Err(crate::signals::interrupted(signal)));
        }
    };
    if let Err(error) = removed {
        ui.warn_always(&error);
    }
    outcome
}

/// A second signal: what was asked for is not waited for.
pub(super) fn not_awaited(what: &str) -> Error {
    Error::failed(format!("ended without waiting until {what} is removed: it may still be there"))
        .hint("it goes by itself when its time is over (--lease, --deadline); a job is removed now by 'kubectl etcd-backup cleanup --all'")
}

/// Takes a backup of the member that is chosen, or of the next one when that fails before the first byte.
pub(super) async fn back_up(cli: &Cli, ui: &Ui, cluster: &KubeClient, owned: &RemoteResources) -> Result<()> {
    let (started_at, start) = (Timestamp::now(), Instant::now());
    let mut early = validate_destination(cli)?;
    let field = MemberSet::discover_verbose(cli, cluster, ui).await?;
    let mut chosen = field.choose(cli, cluster, ui).await?;
    let run = Run { cli, ui, cluster, owned, field: &field, started_at, start };
    let mut tried = Vec::new();
    loop {
        let error = match run.attempt(chosen, early).await? {
            Attempt::Done => return Ok(()),
            Attempt::NotBegun(error, again) => {
                early = again;
                error
            }
        };
        tried.push(chosen);
        // Before the question, which may wait for a person all night.
        owned.remove(cluster).await?;
        chosen = failover::next(cli, ui, &field, &tried, error).await?;
    }
}

/// One run of the default action.
struct Run<'r> {
    cli: &'r Cli,
    ui: &'r Ui,
    cluster: &'r KubeClient,
    owned: &'r RemoteResources,
    field: &'r MemberSet,
    started_at: Timestamp,
    start: Instant,
}

/// How the backup of one member ended, when it did not fail for good.
enum Attempt {
    Done,
    /// It failed before the first byte, so the place for the file is as it was.
    NotBegun(Error, Destination),
}

impl Run<'_> {
    async fn attempt(&self, chosen: usize, early: Destination) -> Result<Attempt> {
        let Run { cli, ui, cluster, owned, field, .. } = *self;
        let member = &field.members[chosen];
        if let Err(error) = wait_until_ready(cluster, member, cli.backup.pod_running_timeout, ui).await {
            return not_begun(error, early);
        }
        let is_named = matches!(early, Destination::Named);
        let (pending, writer, shown) = early.open(cli, cluster, member, self.started_at)?;
        ui.status(&format!("Running etcd backup on pod {}", member.pod_name));
        let wanted = if pending.is_some() { cli.backup.verify } else { Some(Level::Checksum) };
        let arrival = Download { cli, cluster, ui, owned, field, member: chosen, wanted };
        let file = pending.as_ref().map(|(_, file)| file);
        match arrival.bring(writer, &shown, file).await {
            Ok(arrived) => self.finish(chosen, wanted, arrived, pending, shown).await.map(|()| Attempt::Done),
            Err(DownloadError { error, begun: true }) => Err(error),
            Err(DownloadError { error, begun: false }) => {
                let again = match pending {
                    Some(_) if is_named => Destination::Named,
                    Some((pending, file)) => Destination::Prepared(pending, file, PathBuf::from(shown)),
                    None => Destination::Stdout,
                };
                not_begun(error, again)
            }
        }
    }

    /// Gives the file its name, and tells how it went.
    async fn finish(
        &self,
        chosen: usize,
        wanted: Option<Level>,
        arrived: Downloaded,
        pending: Waiting,
        shown: String,
    ) -> Result<()> {
        let Run { cli, ui, cluster, field, .. } = *self;
        let Downloaded { taken, sum, structure, content } = arrived;
        print_verification(ui, &structure, &content);
        let outcome = Outcome { structure: &structure, content: &content, wanted, field, member: chosen };
        if let Some(warning) = outcome.warning() {
            ui.warn(&warning);
        }
        let wants_document = cli.talk.output.filter(|_| shown != "-");
        let (uid, version) = match wants_document {
            Some(_) => (cluster.uid().await.ok().flatten(), cluster.version().await.ok()),
            None => (None, None),
        };
        let kept = match pending {
            Some((pending, file)) => {
                on_disk(file).await?;
                // Nothing waits from here on: a signal finds either no file, or a whole end.
                let kept = if outcome.is_verified() { pending.persist()? } else { pending.persist_unverified()? };
                kept.warning.iter().for_each(|warning| ui.warn(warning));
                kept.path.display().to_string()
            }
            None => shown,
        };
        let duration = self.start.elapsed();
        if outcome.is_verified() {
            print_summary(ui, &kept, sum.size, duration);
        }
        let error = outcome.error(&kept);
        let printed = wants_document.map_or(Ok(()), |format| {
            let (member, status) = (&field.members[chosen], field.statuses[chosen].as_ref());
            let document = Document {
                file: kept,
                size_bytes: sum.size,
                sha256: sum.sha256,
                cluster: ClusterPart {
                    server: cluster.server().to_owned(),
                    context: cluster.context().map(str::to_owned),
                    uid,
                },
                kubernetes_version: version,
                verified: verified(&structure, &content),
                ..document(member, status, &structure, &taken, self.started_at, duration, ui.warnings())
            };
            ui.document(format, &document)
        });
        // What is wrong with the file or a member matters more than a reader who went away.
        error.map_or(printed, Err)
    }
}

/// Another member may do better after a failure, not after a refusal or an interruption.
fn not_begun(error: Error, early: Destination) -> Result<Attempt> {
    match error.kind() {
        ErrorKind::Failed => Ok(Attempt::NotBegun(error, early)),
        _ => Err(error),
    }
}

/// Waits until the bytes are on disk. That may take long, and whoever interrupts it drops the file that waits for its
/// name.
async fn on_disk(file: std::fs::File) -> Result<()> {
    let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
    match synced {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(format!("the disk did not take the snapshot: {error}"))
            .hint("choose another file system with --out")),
        Err(_) => Err(Error::failed("the thread that finishes the file ended unexpectedly")),
    }
}

/// The etcd pod must be ready: a member that starts or fails cannot be asked for its data.
async fn wait_until_ready(cluster: &KubeClient, member: &Member, limit: Duration, ui: &Ui) -> Result<()> {
    ui.status_start(&format!("Waiting for pod {} to be ready: ", member.pod_path()));
    let start = Instant::now();
    let mut now = member.clone();
    while !now.is_ready() {
        if start.elapsed() > limit {
            ui.status("no");
            return Err(Error::failed(format!(
                "pod {} is not ready after {}s: {}",
                member.pod_path(),
                limit.as_secs(),
                now.why_not_ready()
            ))
            .hint("choose another member with --member, or wait longer with --pod-running-timeout"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        match cluster.pod(&member.namespace, &member.pod_name).await {
            Ok(pod) => now = Member::from_pod(pod).unwrap_or(now),
            Err(failure) if failure.is_transient() => {}
            Err(failure) => {
                ui.status("no");
                return Err(failure.into());
            }
        }
    }
    ui.status("ok");
    Ok(())
}
