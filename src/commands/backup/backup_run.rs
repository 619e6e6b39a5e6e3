//! Takes the backup of one cluster: the chosen member, or the next one if it fails before the first byte.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;

use super::destination::{Destination, check_free_space, validate_destination};
use super::document::{BackupDocument, DocumentCluster, DocumentMember, remote_paths, verified_levels};
use super::download::{Download, DownloadError, Downloaded};
use super::failover::next_member;
use super::outcome::VerificationOutcome;
use super::read_back::ReadBack;
use super::readiness::wait_until_ready;
use super::reserved_names::ReservedNames;
use super::result::BackupResult;
use super::select::choose_member;
use super::summary::print_verification;
use super::verified_file::VerifiedFile;
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{MemberSet, MemberState};
use crate::snapshot::RemoteResources;
use crate::storage::local_file::PendingFile;
use crate::ui::Ui;
use crate::util::events::Events;
use crate::util::rfc3339::format_time;
use crate::verification::Level;

/// Takes a backup. `remote` collects what must be deleted from the cluster, `names` the files of all backups of the run.
/// `kept` is set to the file if a signal ends the run after verification.
///
/// # Errors
/// No complete snapshot arrived, or it could not be written. A bad file is in [`BackupResult::error`].
pub(super) async fn back_up(
    options: &BackupOptions,
    context: &Context,
    remote: &RemoteResources,
    names: &ReservedNames,
    kept: &OnceLock<PathBuf>,
    ui: &Ui,
) -> Result<BackupResult> {
    let (started_at, start) = (Timestamp::now(), Instant::now());
    let mut destination = validate_destination(options)?;
    let members = context.discover_verbose(ui).await?;
    let mut chosen = choose_member(&members, options.member.as_deref(), &context.client, ui).await?;
    let run = BackupRun { options, context, ui, remote, names, kept, members: &members, started_at, start };
    let mut tried = Vec::new();
    loop {
        let error = match run.attempt(chosen, destination).await? {
            MemberAttempt::Done(result) => return Ok(*result),
            MemberAttempt::NotBegun(error, unused) => {
                destination = unused;
                error
            }
        };
        tried.push(chosen);
        // Before the prompt, which may wait for an answer all night.
        remote.remove(&context.client).await?;
        chosen = next_member(options.failover, ui, &members, &tried, error).await?;
    }
}

/// One backup, which may try several members.
struct BackupRun<'r> {
    options: &'r BackupOptions,
    context: &'r Context,
    ui: &'r Ui,
    remote: &'r RemoteResources,
    names: &'r ReservedNames,
    kept: &'r OnceLock<PathBuf>,
    members: &'r MemberSet,
    started_at: Timestamp,
    start: Instant,
}

/// The backup of one member, unless it failed in a way that ends the run.
enum MemberAttempt {
    Done(Box<BackupResult>),
    /// It failed before the first byte, so the destination is unused.
    NotBegun(Error, Destination),
}

impl BackupRun<'_> {
    async fn attempt(&self, chosen: &MemberState, destination: Destination) -> Result<MemberAttempt> {
        let BackupRun { options, context, ui, remote, members, .. } = *self;
        let member = &chosen.member;
        let client = &context.client;
        // Before anything is asked of the node. Another member would not help, so the run ends.
        check_free_space(options, chosen.status().map(|status| status.db_size))?;
        if let Err(error) = wait_until_ready(client, member, options.limits.pod_running_timeout, ui).await {
            return not_begun(error, destination);
        }
        let has_default_name = matches!(destination, Destination::DefaultName);
        let (pending, writer, shown) = destination.open(options, client, member, self.started_at, self.names)?;
        ui.status(&format!("Running etcd backup on pod {}", member.pod_name));
        let wanted = if pending.is_some() { options.verify } else { Some(Level::Checksum) };
        let download = Download { options, context, ui, remote, members, member: chosen, wanted };
        let file = pending.as_ref().map(PendingFile::file);
        match download.run(writer, &shown, file).await {
            Ok(downloaded) => {
                let result = self.finish(chosen, wanted, downloaded, pending, shown).await?;
                Ok(MemberAttempt::Done(Box::new(result)))
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

    /// Gives the file its name and builds the document.
    async fn finish(
        &self,
        chosen: &MemberState,
        wanted: Option<Level>,
        downloaded: Downloaded,
        pending: Option<PendingFile>,
        shown: String,
    ) -> Result<BackupResult> {
        let BackupRun { options, context, ui, members, .. } = *self;
        let pending = pending.map(|pending| VerifiedFile::new(pending, self.kept, ui));
        let Downloaded { taken, checksum, structure_check, member_check } = downloaded;
        let outcome = VerificationOutcome {
            structure_check: &structure_check,
            member_check: &member_check,
            wanted,
            members,
            member: &chosen.member,
        };
        print_verification(ui, &structure_check, &member_check, outcome.is_verified());
        if let Some(warning) = outcome.warning() {
            ui.warn(&warning);
        }
        let client = &context.client;
        let (uid, kubernetes_version) = match options.format.filter(|_| shown != "-") {
            Some(_) => (client.uid().await.ok().flatten(), client.version().await.ok()),
            None => (None, None),
        };
        let mut reread = ReadBack::NotDone;
        let saved_as = match pending {
            Some(pending) => {
                let pending = pending.sync().await?;
                if options.read_back {
                    reread = pending.read_back(&checksum).await;
                }
                // Nothing waits from here on, so a signal finds either a temporary file or the final one.
                let saved = pending.persist(outcome.is_verified() && !reread.is_bad())?;
                saved.warnings.iter().for_each(|warning| ui.warn(warning));
                saved.path.display().to_string()
            }
            None => shown,
        };
        let duration = self.start.elapsed();
        let (node_directory, container_file) = remote_paths(&taken);
        let error = reread.error(&saved_as).or_else(|| outcome.error(&saved_as));
        let is_verified = outcome.is_verified() && !reread.is_bad();
        let contents = structure_check.contents();
        let status = chosen.status();
        let document = BackupDocument {
            file: saved_as,
            size_bytes: checksum.size,
            sha256: checksum.sha256,
            cluster: DocumentCluster {
                server: client.server().to_owned(),
                context: client.context().map(str::to_owned),
                uid,
            },
            member: DocumentMember::new(chosen),
            etcd_version: status.map(|status| status.version.clone()),
            kubernetes_version,
            revision: contents.map(|contents| contents.last_revision).or_else(|| chosen.revision()),
            hash: contents.map(|contents| contents.hash),
            transport: taken.transport.name(),
            verified: verified_levels(&structure_check, &member_check),
            read_back: reread.label(),
            node_directory,
            container_file,
            started_at: format_time(self.started_at),
            duration_seconds: (duration.as_secs_f64() * 10.0).round() / 10.0,
            warnings: ui.warnings(),
        };
        Ok(BackupResult { document, duration, is_verified, error })
    }
}

/// Lets another member take over after a failure, but not after a refusal or a signal.
fn not_begun(error: Error, destination: Destination) -> Result<MemberAttempt> {
    match error.kind() {
        ErrorKind::Failed => Ok(MemberAttempt::NotBegun(error, destination)),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_member_takes_over_after_a_failure_but_not_after_a_refusal() {
        let kinds = [ErrorKind::Failed, ErrorKind::Usage, ErrorKind::NotAllowed, ErrorKind::BadFile, ErrorKind::NoEtcd];
        let takes_over = kinds.map(|kind| not_begun(Error::new(kind, "x"), Destination::Stdout).is_ok());
        assert_eq!(takes_over, [true, false, false, false, false]);
    }
}
