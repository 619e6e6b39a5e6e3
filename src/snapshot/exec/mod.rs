//! The transport `exec`: `etcdctl snapshot save` in the etcd container, and the file printed to us.
//!
//! It needs no more than the right to run commands there, and an image with a shell, which today's upstream image is
//! not. The file's guard is there first. A broken connection is resumed at its offset, and what arrived must have the
//! size that the container tells.

pub mod container;

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::SnapshotWriter;
use super::direct::{deadline_exceeded, same_pod};
use super::etcdctl_failure::{Cause, cause};
use super::node::job::{JobLimits, random_name};
use super::remote_resources::RemoteFile;
use super::request::{NotTaken, Place, Request, Taken};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::etcd::credentials::pod_paths::Credentials;
use crate::etcd::etcdctl;
use crate::etcd::etcdctl::error::etcdctl_error;
use crate::k8s::{ExecEvent, KubeClient};
use crate::util::events::Events;
use crate::util::progress::Progress;
use container::{Reader, Shell};

const LONGEST_PAUSE: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// Takes the snapshot and hands its bytes to `writer`, which verifies the checksum.
pub(super) async fn take<W: Write + Send + 'static>(
    cluster: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter<W>,
    owned: &RemoteFile,
    events: &dyn Events,
) -> Result<Taken, NotTaken> {
    let until = Instant::now() + request.limits.deadline;
    let shell = Shell::of(request);
    let tools = shell.probe(cluster, request).await?;
    let reader = tools.reader().unwrap_or(Reader::Cat);
    let credentials = working_credentials(cluster, request, &shell).await?;
    let data = request.member.settings.get("data-dir");
    let directories = tools.with_room(request.db_size, data, &shell.place())?;
    let mut warnings = Vec::new();

    let mut path = None;
    let mut refusal = String::new();
    for directory in directories {
        let candidate = format!("{}/{}.db", directory.path, random_name());
        match owned
            .guard(cluster, &shell, &candidate, request.limits.job_ttl, request.limits.deadline)
            .await
            .map_err(Error::from)?
        {
            Ok(()) => {
                if directory.room.is_none() {
                    warnings.push(format!(
                        "free space in {} of {} is unknown: it has no df",
                        directory.path,
                        shell.place()
                    ));
                }
                path = Some(candidate);
                break;
            }
            Err(why) => refusal = why,
        }
        owned.remove(cluster).await?;
    }
    let Some(path) = path else {
        return Err(Error::not_possible(format!("no file can be guarded in {}: {refusal}", shell.place())).into());
    };
    tracing::info!(%path, ?reader, certificates = credentials.origin, "the snapshot is written here");

    let work = Work { cluster, request, shell: &shell, owned, path: &path, until };
    let copy = async {
        events.status("Saving the snapshot in the container");
        work.save(credentials).await?;
        let size = match tools.size() {
            Some(script) => work.size(script).await?,
            None => None,
        };
        let progress = events.copy_progress(size.or(request.db_size));
        let copied = work.copy(reader, size, writer, progress.as_ref()).await;
        match copied {
            Ok(()) => progress.finish(),
            Err(_) => progress.abandon(),
        }
        copied
    };
    let copied = tokio::select! {
        copied = copy => copied,
        never = owned.keep(cluster) => match never {},
        () = tokio::time::sleep_until(until.into()) => Err(deadline_exceeded().into()),
    };
    match copied {
        Ok(()) => Ok(Taken { transport: Transport::Exec, place: Some(Place::Container(path)), warnings }),
        Err(NotTaken::Failed(error)) => Err(NotTaken::Failed(same_pod(cluster, request, error).await)),
        Err(not_written) => Err(not_written),
    }
}

/// The first pair that etcd accepts. `snapshot save` with another one would wait in silence for ever.
async fn working_credentials<'r>(
    cluster: &KubeClient,
    request: &'r Request<'_>,
    shell: &Shell,
) -> Result<&'r Credentials> {
    let mut usable = request.credentials.iter().filter(|candidate| candidate.usable_in_etcd_container).peekable();
    if request.first_verified
        && let Some(first) = usable.peek()
    {
        return Ok(first);
    }
    let mut last = "its settings name no certificates".to_owned();
    for candidate in usable {
        let flags = [("dial-timeout", "3s"), ("command-timeout", "5s"), ("write-out", "json")];
        let words =
            etcdctl::command(request.member, candidate, request.endpoint.as_deref(), &["endpoint", "status"], &flags);
        let answer = cluster.exec(&shell.container, &words, Duration::from_secs(20)).await.map_err(Error::from)?;
        if answer.success {
            return Ok(candidate);
        }
        last = match etcdctl_error(&answer.stderr) {
            said if said.is_empty() => answer.reason,
            said => said,
        };
    }
    Err(Error::not_possible(format!("etcd does not answer etcdctl in {}: {last}", shell.place()))
        .hint("name a client certificate with --pod-cert, --pod-key and --pod-cacert (paths in the etcd container)"))
}

struct Work<'w> {
    cluster: &'w KubeClient,
    request: &'w Request<'w>,
    shell: &'w Shell,
    owned: &'w RemoteFile,
    path: &'w str,
    until: Instant,
}

impl Work<'_> {
    /// Lets etcdctl write the file.
    async fn save(&self, credentials: &Credentials) -> Result<()> {
        let limits = JobLimits::new(self.request.db_size, self.request.limits.job_ttl, self.request.limits.deadline);
        // etcdctl ends by itself even when nobody is left to end it.
        let timeout = format!("{}s", limits.run.as_secs().max(1));
        let command = etcdctl::command(
            self.request.member,
            credentials,
            self.request.endpoint.as_deref(),
            &["snapshot", "save", self.path],
            &[("command-timeout", &timeout)],
        );
        let place = self.shell.place();
        let mut running = match self.owned.write(self.cluster, self.shell, command).await? {
            Ok(running) => running,
            Err(why) => return Err(Error::failed(format!("etcdctl did not start in {place}: {why}"))),
        };
        let until = Instant::now() + limits.run + Duration::from_secs(5);
        let ended = loop {
            match running.next(until.saturating_duration_since(Instant::now())).await {
                Ok(ExecEvent::Stdout(_)) => {}
                Ok(ExecEvent::Exited(output)) => break output,
                Err(_) if Instant::now() >= until => {
                    return Err(Error::failed(format!("etcdctl did not finish within {timeout} in {place}"))
                        .hint("its disk is slow or etcd does not answer; choose another member with --member"));
                }
                Err(why) => return Err(Error::failed(format!("etcdctl in {place} was lost from sight: {why}"))),
            }
        };
        self.owned.written();
        if ended.success {
            return Ok(());
        }
        let said = etcdctl_error(&ended.stderr);
        let said = if said.is_empty() { ended.reason } else { said };
        Err(match cause(&said) {
            Cause::NoSpace => Error::failed(format!("the file system of {place} is full: {said}"))
                .hint("what was written is removed; --transport direct writes nothing there"),
            _ => Error::failed(format!("etcdctl failed in {place}: {said}")),
        })
    }

    async fn size(&self, script: &str) -> Result<Option<u64>> {
        let output = self.shell.run(self.cluster, script, &[self.path]).await?;
        Ok(output.stdout.trim().parse().ok())
    }

    /// Copies until the size is reached, going on at the offset after each interruption.
    async fn copy<W: Write + Send + 'static>(
        &self,
        reader: Reader,
        size: Option<u64>,
        writer: &SnapshotWriter<W>,
        progress: &dyn Progress,
    ) -> Result<(), NotTaken> {
        let mut state = Offset { at: 0, last_byte: Instant::now(), pause: FIRST_PAUSE };
        let most = size.unwrap_or_else(|| self.request.most());
        loop {
            let trouble = self.read(reader, size, most, &mut state, writer, progress).await?;
            let Some(trouble) = trouble else {
                return Ok(());
            };
            tracing::info!(offset = state.at, %trouble, "the copy pauses");
            if state.last_byte.elapsed() >= self.request.limits.stall_timeout {
                return Err(Error::failed(format!(
                    "the copy stalled: no byte from {} for {}s, after {} bytes: {trouble}",
                    self.shell.place(),
                    self.request.limits.stall_timeout.as_secs_f32(),
                    state.at
                ))
                .hint("run the backup again; --stall-timeout sets the limit")
                .into());
            }
            tokio::time::sleep(state.pause).await;
            state.pause = (state.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Reads from the offset on; `None` when all of it is here, else why not.
    async fn read<W: Write + Send + 'static>(
        &self,
        reader: Reader,
        size: Option<u64>,
        most: u64,
        state: &mut Offset,
        writer: &SnapshotWriter<W>,
        progress: &dyn Progress,
    ) -> Result<Option<String>, NotTaken> {
        let (from, mut skip) = reader.from(state.at);
        let mut command = match self.shell.start(self.cluster, &reader.script(), &[self.path, &from]).await {
            Ok(command) => command,
            // Commands have been run in this container before.
            Err(failure) if failure.is_transient_once_allowed() => {
                return Ok(Some(failure.error().message().to_owned()));
            }
            Err(failure) => return Err(Error::from(failure).into()),
        };
        loop {
            let patience = self.request.limits.stall_timeout.min(self.until.saturating_duration_since(Instant::now()));
            let output = match command.next(patience).await {
                Ok(ExecEvent::Stdout(bytes)) => {
                    let bytes = beyond(bytes, &mut skip);
                    if bytes.is_empty() {
                        continue;
                    }
                    if state.at + bytes.len() as u64 > most {
                        return Err(Error::failed(format!(
                            "more bytes came than the file in {} has ({most}), so the copy cannot be trusted",
                            self.shell.place()
                        ))
                        .into());
                    }
                    state.at += bytes.len() as u64;
                    writer.push(bytes).await?;
                    state.last_byte = Instant::now();
                    state.pause = FIRST_PAUSE;
                    progress.set_position(state.at);
                    continue;
                }
                Ok(ExecEvent::Exited(output)) => output,
                Err(trouble) => return Ok(Some(trouble)),
            };
            if output.success {
                let complete = size.is_none_or(|size| state.at == size) && skip == 0;
                return Ok((!complete).then(|| format!("the output ended at {} bytes", state.at)));
            }
            let said = output.stderr.trim();
            if said.contains("No such file") || said.contains("no such file") {
                return Err(Error::failed(format!(
                    "the finished snapshot is no longer in {}: {}",
                    self.shell.place(),
                    said.lines().next().unwrap_or_default()
                ))
                .hint("somebody or something removed it: run the backup again")
                .into());
            }
            let said = said.lines().last().unwrap_or_default();
            return Ok(Some(if said.is_empty() { output.reason } else { said.to_owned() }));
        }
    }
}

struct Offset {
    at: u64,
    last_byte: Instant,
    pause: Duration,
}

/// Without the bytes that are here already.
fn beyond(mut bytes: Bytes, skip: &mut u64) -> Bytes {
    let known = (*skip).min(bytes.len() as u64);
    *skip -= known;
    bytes.split_off(known as usize)
}
