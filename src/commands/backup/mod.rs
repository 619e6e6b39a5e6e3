//! The default action: takes a backup, verifies it and says what to do with it.

mod destination;
mod document;
mod download;
mod dry_run;
mod failover;
mod multi_context;
mod outcome;
mod request;
mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use super::context::Context;
use super::members::select::choose_member;
use crate::cli::BackupOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{Member, MemberSet, MemberState};
use crate::k8s::KubeClient;
use crate::signals::{Signals, interrupted};
use crate::snapshot::RemoteResources;
use crate::storage::local_file::PendingFile;
use crate::ui::{Ui, restore_terminal};
use crate::util::events::Events;
use crate::verification::Level;
use destination::{Destination, validate_destination};
use document::{BackupDocument, ClusterPart, MemberPart, Verified, places};
use download::{Download, DownloadError, Downloaded};
use outcome::Outcome;
pub(super) use outcome::member_differs;
use summary::{print_summary, print_verification};

/// Backs up one cluster or several, or checks whether one could be backed up.
pub(super) async fn run(options: &BackupOptions, ui: &Ui, signals: &mut Signals) -> Result<()> {
    let contexts = KubeClient::selected_contexts(&options.cluster.connect, options.all_contexts)?;
    if !contexts.is_empty() {
        return multi_context::run(options, contexts, ui, signals).await;
    }
    if options.dry_run {
        let dry_run = async { dry_run::run(options, &Context::connect(&options.cluster, ui).await?, ui).await };
        return signals.interrupt(dry_run).await;
    }
    run_one(options, ui, signals).await
}

/// Backs up one cluster. Whatever ends it, the job is deleted before this returns; a second signal ends the wait.
async fn run_one(options: &BackupOptions, ui: &Ui, signals: &mut Signals) -> Result<()> {
    let owned = RemoteResources::default();
    let context = signals.interrupt(Context::connect(&options.cluster, ui)).await?;
    let outcome = signals.interrupt(back_up(options, &context, &owned, ui)).await;
    restore_terminal();
    let outcome = outcome.map_err(|error| match error.kind() {
        ErrorKind::Interrupted(_) if owned.is_there() => {
            ui.status(&format!("Removing {}; a second signal ends at once", owned.what()));
            error
        }
        ErrorKind::Interrupted(_) if owned.was_used() => error.context("the snapshot was not verified, and is removed"),
        ErrorKind::Interrupted(_) => error.context("nothing was done"),
        _ => error,
    });
    let result = outcome.and_then(|result| print(options, ui, result));
    let removed = tokio::select! {
        removed = owned.remove(&context.client) => removed,
        signal = signals.next() => {
            ui.warn_always(&removal_unconfirmed(owned.what()));
            return result.and(Err(interrupted(signal)));
        }
    };
    if let Err(error) = removed {
        ui.warn_always(&error);
    }
    result
}

/// A backup all bytes of which arrived.
struct BackupResult {
    document: BackupDocument,
    duration: Duration,
    /// The file has the name that was asked for.
    is_verified: bool,
    /// What is wrong with the file or with a member.
    error: Option<Error>,
}

/// Prints the result, and the document if one was asked for.
fn print(options: &BackupOptions, ui: &Ui, result: BackupResult) -> Result<()> {
    if result.is_verified {
        print_summary(ui, &result);
    }
    let format = options.format.filter(|_| result.document.file != "-");
    let printed = format.map_or(Ok(()), |format| ui.document(format, &result.document));
    // What is wrong with the file or a member matters more than a reader of standard output that went away.
    result.error.map_or(printed, Err)
}

/// A second signal: the removal is not waited for.
fn removal_unconfirmed(what: &str) -> Error {
    Error::failed(format!("exited before {what} was removed; it may still exist"))
        .hint("it expires after --job-ttl or --deadline; to delete a job now, run 'kubectl etcd-backup cleanup --all'")
}

/// Takes a backup of the member that is chosen, or of the next one if that fails before the first byte.
async fn back_up(options: &BackupOptions, context: &Context, owned: &RemoteResources, ui: &Ui) -> Result<BackupResult> {
    let (started_at, start) = (Timestamp::now(), Instant::now());
    let mut destination = validate_destination(options)?;
    let members = context.discover_verbose(ui).await?;
    let mut chosen = choose_member(&members, options.member.as_deref(), &context.client, ui).await?;
    let run = Run { options, context, ui, owned, members: &members, started_at, start };
    let mut tried = Vec::new();
    loop {
        let error = match run.attempt(chosen, destination).await? {
            Attempt::Done(result) => return Ok(*result),
            Attempt::NotBegun(error, unused) => {
                destination = unused;
                error
            }
        };
        tried.push(chosen);
        // Before the question, which may wait for a person all night.
        owned.remove(&context.client).await?;
        chosen = failover::next_member(options.failover, ui, &members, &tried, error).await?;
    }
}

/// One run of the default action.
struct Run<'r> {
    options: &'r BackupOptions,
    context: &'r Context,
    ui: &'r Ui,
    owned: &'r RemoteResources,
    members: &'r MemberSet,
    started_at: Timestamp,
    start: Instant,
}

/// How the backup of one member ended, if it did not fail for good.
enum Attempt {
    Done(Box<BackupResult>),
    /// It failed before the first byte, so the destination is as it was.
    NotBegun(Error, Destination),
}

impl Run<'_> {
    async fn attempt(&self, chosen: &MemberState, destination: Destination) -> Result<Attempt> {
        let Run { options, context, ui, owned, members, .. } = *self;
        let member = &chosen.member;
        let client = &context.client;
        if let Err(error) = wait_until_ready(client, member, options.limits.pod_running_timeout, ui).await {
            return not_begun(error, destination);
        }
        let has_default_name = matches!(destination, Destination::DefaultName);
        let (pending, writer, shown) = destination.open(options, client, member, self.started_at)?;
        ui.status(&format!("Running etcd backup on pod {}", member.pod_name));
        let wanted = if pending.is_some() { options.verify } else { Some(Level::Checksum) };
        let download = Download { options, context, ui, owned, members, member: chosen, wanted };
        let file = pending.as_ref().map(PendingFile::file);
        match download.run(writer, &shown, file).await {
            Ok(downloaded) => {
                let result = self.finish(chosen, wanted, downloaded, pending, shown).await?;
                Ok(Attempt::Done(Box::new(result)))
            }
            Err(DownloadError { error, begun: true }) => Err(error),
            Err(DownloadError { error, begun: false }) => {
                let unused = match pending {
                    Some(_) if has_default_name => Destination::DefaultName,
                    Some(pending) => Destination::Prepared(pending, PathBuf::from(shown)),
                    None => Destination::Stdout,
                };
                not_begun(error, unused)
            }
        }
    }

    /// Gives the file its name.
    async fn finish(
        &self,
        chosen: &MemberState,
        wanted: Option<Level>,
        downloaded: Downloaded,
        pending: Option<PendingFile>,
        shown: String,
    ) -> Result<BackupResult> {
        let Run { options, context, ui, members, .. } = *self;
        let Downloaded { taken, checksum, integrity, member_check } = downloaded;
        print_verification(ui, &integrity, &member_check);
        let outcome =
            Outcome { integrity: &integrity, member_check: &member_check, wanted, members, member: &chosen.member };
        if let Some(warning) = outcome.warning() {
            ui.warn(&warning);
        }
        let client = &context.client;
        let (uid, kubernetes_version) = match options.format.filter(|_| shown != "-") {
            Some(_) => (client.uid().await.ok().flatten(), client.version().await.ok()),
            None => (None, None),
        };
        let kept = match pending {
            Some(pending) => {
                sync(pending.file()).await?;
                // Nothing waits from here on: a signal finds either no file, or a complete end.
                let kept = if outcome.is_verified() { pending.persist()? } else { pending.persist_unverified()? };
                kept.warning.iter().for_each(|warning| ui.warn(warning));
                kept.path.display().to_string()
            }
            None => shown,
        };
        let duration = self.start.elapsed();
        let (node_directory, container_file) = places(&taken);
        let error = outcome.error(&kept);
        let is_verified = outcome.is_verified();
        let contents = integrity.contents();
        let status = chosen.status();
        let document = BackupDocument {
            file: kept,
            size_bytes: checksum.size,
            sha256: checksum.sha256,
            cluster: ClusterPart {
                server: client.server().to_owned(),
                context: client.context().map(str::to_owned),
                uid,
            },
            member: MemberPart::new(chosen),
            etcd_version: status.map(|status| status.version.clone()),
            kubernetes_version,
            revision: contents.map(|contents| contents.last_revision).or_else(|| chosen.revision()),
            hash: contents.map(|contents| contents.hash),
            transport: taken.transport.name(),
            verified: Verified::new(&integrity, &member_check),
            node_directory,
            container_file,
            started_at: self.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            duration_seconds: (duration.as_secs_f64() * 10.0).round() / 10.0,
            warnings: ui.warnings(),
        };
        Ok(BackupResult { document, duration, is_verified, error })
    }
}

/// Another member may do better after a failure, not after a refusal or an interruption.
fn not_begun(error: Error, destination: Destination) -> Result<Attempt> {
    match error.kind() {
        ErrorKind::Failed => Ok(Attempt::NotBegun(error, destination)),
        _ => Err(error),
    }
}

/// Waits until the bytes are on disk. That may take long, and an interruption drops the file that waits for its name.
async fn sync(file: &std::fs::File) -> Result<()> {
    let file = file.try_clone().map_err(|error| Error::failed(format!("cannot use the temporary file: {error}")))?;
    let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
    match synced {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(format!("cannot write the snapshot to disk: {error}"))
            .hint("choose another file system with --out")),
        Err(_) => Err(Error::failed("the thread that writes the file to disk ended unexpectedly")),
    }
}

/// The etcd pod must be ready: a member that starts or fails cannot be asked for its data.
async fn wait_until_ready(client: &KubeClient, member: &Member, limit: Duration, ui: &Ui) -> Result<()> {
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
        match client.pod(&member.namespace, &member.pod_name).await {
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
