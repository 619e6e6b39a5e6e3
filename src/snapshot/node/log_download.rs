//! Downloads the snapshot from the node while etcdctl still writes it.
//!
//! Ranges of limited length, one at a time, each at the offset that was reached. A restarted kubelet or API server
//! costs a pause, and a time limit of a proxy does not matter. The copy is complete when the checksum matches, which
//! may be before etcdctl has synced its own file to disk.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;

use super::download_state::{DownloadState, Step};
use super::pod::JobPod;
use super::pod_status::{Failure, Phase};
use crate::error::Error;
use crate::k8s::{KubeClient, LogReadError, NodeLogPath, RangeResponse};
use crate::snapshot::error::TransportError;
use crate::snapshot::stall::{RETRY_HINT, StallTimer};
use crate::snapshot::writer::{SnapshotWriter, WriterClosed};
use crate::util::progress::Progress;
use crate::util::root_cause::root_cause;

/// The pause before the growing file is requested again. Without it, a copy that has caught up sends a hundred requests
/// a second for a few pages each, which slows etcdctl down more than the pause costs.
const GROWING: Duration = Duration::from_millis(300);

/// The shortest time between two looks at the pod.
const POD_INTERVAL: Duration = Duration::from_secs(1);

/// Why a download did not complete.
pub(super) enum LogDownloadError {
    /// etcdctl or its pod failed.
    Pod(Failure),
    Transport(TransportError),
}

impl<E: Into<TransportError>> From<E> for LogDownloadError {
    fn from(error: E) -> Self {
        LogDownloadError::Transport(error.into())
    }
}

/// What a download reads, and where its bytes go.
pub(super) struct LogDownloadContext<'d> {
    pub client: &'d KubeClient,
    pub job_pod: &'d JobPod<'d>,
    pub pod: &'d Pod,
    /// The pod's log directory.
    pub directory: &'d NodeLogPath,
    pub writer: &'d SnapshotWriter,
    pub progress: &'d dyn Progress,
    /// The longest time without a byte.
    pub stall_timeout: Duration,
    /// More bytes than any snapshot of this database can have.
    pub max_size: u64,
}

/// One download.
pub(super) struct LogDownload<'d> {
    context: LogDownloadContext<'d>,
    state: DownloadState,
    stall: StallTimer,
    /// Why the last request failed.
    problem: Option<String>,
    pod_seen: Option<Instant>,
    ranges_ignored: bool,
}

impl<'d> LogDownload<'d> {
    pub(super) fn new(context: LogDownloadContext<'d>) -> Self {
        let place = format!("{} on node {}", context.directory.path, context.directory.node);
        LogDownload {
            state: DownloadState::new(context.max_size, place),
            stall: StallTimer::new(context.stall_timeout),
            problem: None,
            pod_seen: None,
            ranges_ignored: false,
            context,
        }
    }

    /// Downloads until the checksum matches or the finished file was read to its end. In the second case
    /// [`SnapshotWriter::finish`] verifies the checksum.
    pub(super) async fn run(mut self) -> Result<(), LogDownloadError> {
        loop {
            let file = self.context.directory.join(self.state.name().as_str());
            let (from, to) = self.state.range();
            let request = self.context.client.read_log_file(&file, from, to);
            let step = match tokio::time::timeout(self.stall.limit(), request).await {
                Ok(Ok(response)) => self.read_body(response).await?,
                Ok(Err(LogReadError::PastTheEnd(size))) => self.state.past_the_end(size)?,
                Ok(Err(LogReadError::NotFound)) => self.not_found().await?,
                Ok(Err(LogReadError::Altered(error))) => return Err(error.into()),
                Ok(Err(LogReadError::Failed(failure)))
                    if failure.is_transient() || from > 0 && failure.is_transient_once_allowed() =>
                {
                    self.back_off(failure.error().message().to_owned()).await?
                }
                Ok(Err(LogReadError::Failed(failure))) => return Err(failure.into()),
                Err(_) => self.back_off("no answer came".to_owned()).await?,
            };
            if self.take_step(step).await? {
                return Ok(());
            }
        }
    }

    /// Does what follows a response. Returns true if the download is complete.
    async fn take_step(&mut self, step: Step) -> Result<bool, LogDownloadError> {
        match step {
            Step::Complete => return Ok(true),
            Step::ReadOn => {}
            Step::CaughtUp { pause } => {
                if self.checksum_matches().await? {
                    return Ok(true);
                }
                if pause {
                    tokio::time::sleep(GROWING).await;
                }
            }
            Step::NothingNew => {
                if self.checksum_matches().await? {
                    return Ok(true);
                }
                self.check_pod().await?;
                if self.state.can_stall() {
                    self.check_stall("etcdctl on the node writes nothing")?;
                }
                tokio::time::sleep(GROWING).await;
            }
        }
        Ok(false)
    }

    async fn read_body(&mut self, mut response: RangeResponse) -> Result<Step, LogDownloadError> {
        let mut body = self.state.open_body(response.start, response.end, response.size)?;
        if body.ignores_ranges() && !self.ranges_ignored {
            self.ranges_ignored = true;
            tracing::info!("a proxy ignores ranges: each request reads the file from its start");
        }
        loop {
            let frame = match tokio::time::timeout(self.stall.limit(), response.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return self.back_off(format!("the connection broke: {}", root_cause(&error))).await;
                }
                Ok(None) => break,
                Err(_) => return self.back_off("the connection went silent".to_owned()).await,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            let bytes = body.accept(bytes)?;
            self.keep(bytes).await?;
        }
        match body.incomplete() {
            Some(problem) => self.back_off(problem.to_owned()).await,
            None => Ok(self.state.after_body(&body)),
        }
    }

    async fn keep(&mut self, bytes: Bytes) -> Result<(), LogDownloadError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.state.advance(bytes.len() as u64)?;
        self.context.writer.push(bytes).await?;
        // After the push: a slow disk, or a slow reader of standard output, is not a stall of the cluster.
        self.stall.reset();
        self.problem = None;
        self.context.progress.set_position(self.state.offset());
        Ok(())
    }

    async fn checksum_matches(&mut self) -> Result<bool, WriterClosed> {
        Ok(self.state.must_compare_checksum() && self.context.writer.is_verified().await?)
    }

    /// Changes the name after a 404, because etcdctl renames the file, and both names are gone with the job.
    async fn not_found(&mut self) -> Result<Step, LogDownloadError> {
        if self.state.try_final_name() {
            return Ok(Step::ReadOn);
        }
        let succeeded_before = self.state.etcdctl_succeeded();
        self.pod_seen = None;
        self.check_pod().await?;
        self.state.no_file(succeeded_before)?;
        self.check_stall("etcdctl on the node writes no file")?;
        tokio::time::sleep(GROWING).await;
        Ok(Step::ReadOn)
    }

    /// Looks at the pod, at most once a second. Its failure ends the download.
    async fn check_pod(&mut self) -> Result<(), LogDownloadError> {
        if self.pod_seen.is_some_and(|seen| seen.elapsed() < POD_INTERVAL) {
            return Ok(());
        }
        self.pod_seen = Some(Instant::now());
        match self.context.job_pod.phase(self.context.pod).await {
            Ok(Phase::Failed(failure)) => Err(LogDownloadError::Pod(failure)),
            Ok(phase) => {
                self.state.set_etcdctl_succeeded(phase == Phase::Succeeded);
                Ok(())
            }
            // It was allowed before the download began.
            Err(failure) if failure.is_transient_once_allowed() => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Waits after a failure that may pass, longer each time, until the stall limit.
    async fn back_off(&mut self, problem: String) -> Result<Step, LogDownloadError> {
        tracing::info!(offset = self.state.offset(), trouble = %problem, "the copy pauses");
        self.problem = Some(problem);
        self.check_stall("the copy stalled")?;
        tokio::time::sleep(self.stall.next_pause()).await;
        // A pod that is gone explains it better than a stall.
        self.check_pod().await?;
        Ok(Step::ReadOn)
    }

    fn check_stall(&self, what: &str) -> Result<(), Error> {
        if !self.stall.is_expired() {
            return Ok(());
        }
        let source = format!("node {}", self.context.directory.node);
        let error = self.stall.error(what, &source, self.state.offset(), self.problem.as_deref());
        Err(error.hint(if self.state.offset() == 0 {
            "check the certificate and the network policies: etcd may refuse the certificate, or a policy may block the job; -v=4 shows more"
        } else {
            RETRY_HINT
        }))
    }
}
