//! Reading the snapshot from the node while etcdctl still writes it.
//!
//! Ranges of bounded length, one at a time, each at the offset that was reached: resuming is the normal path, not the
//! exception, so a restarted kubelet or API server costs a pause and no time limit of a proxy matters. `.part` is read
//! until etcdctl renames it; then the final name at the same offset. The copy is complete when the trailer matches,
//! which may be before etcdctl has synced its own file to disk.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;

use super::pod::{Failure, JobPod, Phase};
use crate::error::{Error, Result};
use crate::k8s::{KubeClient, LogReadError, NodeLogPath, RangeResponse};
use crate::snapshot::SnapshotWriter;
use crate::snapshot::writer::{WriterClosed, may_be_complete};
use crate::util::progress::Progress;
use crate::util::root_cause::root_cause;

/// The most that one request asks for.
const RANGE: u64 = 64 << 20;

/// The pause before the growing file is asked for again. Without it, a copy that has caught up asks a hundred times a
/// second for a few pages, and the work of answering slows etcdctl down more than the pause costs.
const GROWING: Duration = Duration::from_millis(300);

/// A piece of at least this length was worth its request; the next one follows at once.
const WORTHWHILE: u64 = 16 << 20;

/// How often the pod is asked how it stands, at most.
const ASK_POD: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(4);

const PART: &str = "snapshot.db.part";
const FINAL: &str = "snapshot.db";

/// Why a copy did not come to its end.
pub(super) enum CopyFailure {
    /// etcdctl or its pod failed.
    Pod(Failure),
    /// The copy failed.
    LogDownload(Error),
    /// Writing here failed; the intake knows why.
    SnapshotWriter,
}

impl From<WriterClosed> for CopyFailure {
    fn from(_: WriterClosed) -> Self {
        CopyFailure::SnapshotWriter
    }
}

/// One snapshot on its way.
pub(super) struct LogDownload<'c, W> {
    pub cluster: &'c KubeClient,
    pub job_pod: &'c JobPod<'c>,
    pub pod: &'c Pod,
    /// The pod's log directory.
    pub directory: NodeLogPath,
    pub writer: &'c SnapshotWriter<W>,
    pub progress: &'c dyn Progress,
    /// The longest time without a byte.
    pub stall: Duration,
    /// More bytes than any snapshot of this database can have.
    pub most: u64,
    state: State,
}

struct State {
    offset: u64,
    part: bool,
    last_byte: Instant,
    last_asked: Option<Instant>,
    phase: Phase,
    /// The last thing that went wrong, for the error after which nothing more is tried.
    trouble: Option<String>,
    pause: Duration,
    told_ranges: bool,
    checked_at: u64,
}

impl<'c, W: Write + Send + 'static> LogDownload<'c, W> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        cluster: &'c KubeClient,
        job_pod: &'c JobPod<'c>,
        pod: &'c Pod,
        directory: NodeLogPath,
        writer: &'c SnapshotWriter<W>,
        progress: &'c dyn Progress,
        stall: Duration,
        most: u64,
    ) -> Self {
        let state = State {
            offset: 0,
            part: true,
            last_byte: Instant::now(),
            last_asked: None,
            phase: Phase::Running,
            trouble: None,
            pause: GROWING,
            told_ranges: false,
            checked_at: 0,
        };
        LogDownload { cluster, job_pod, pod, directory, writer, progress, stall, most, state }
    }

    /// Copies until the trailer matches or the finished file has been read to its end; the number of bytes. Whether
    /// they are good, [`SnapshotWriter::finish`] says.
    pub(super) async fn run(mut self) -> Result<u64, CopyFailure> {
        loop {
            let file = self.directory.join(if self.state.part { PART } else { FINAL });
            let (from, to) = (self.state.offset, self.state.offset + RANGE);
            let answer = tokio::time::timeout(self.stall, self.cluster.read_log_file(&file, from, to)).await;
            match answer {
                Ok(Ok(piece)) => {
                    if self.take(piece).await? {
                        return Ok(self.state.offset);
                    }
                }
                Ok(Err(LogReadError::PastTheEnd(size))) => {
                    if self.on_eof(size).await? {
                        return Ok(self.state.offset);
                    }
                }
                Ok(Err(LogReadError::NotFound)) => self.no_such_file().await?,
                Ok(Err(LogReadError::Altered(error))) => return Err(CopyFailure::LogDownload(error)),
                Ok(Err(LogReadError::Failed(failure)))
                    if failure.is_transient() || self.state.offset > 0 && failure.is_transient_once_allowed() =>
                {
                    self.back_off(failure.error().message().to_owned()).await?;
                }
                Ok(Err(LogReadError::Failed(failure))) => return Err(CopyFailure::LogDownload(failure.into())),
                Err(_) => self.back_off("no answer came".to_owned()).await?,
            }
        }
    }

    /// Reads one piece; true when the copy is complete.
    async fn take(&mut self, mut piece: RangeResponse) -> Result<bool, CopyFailure> {
        if piece.size.is_some_and(|size| size < self.state.offset) {
            return Err(self.shrunk(piece.size.unwrap_or_default()));
        }
        // An answer from the start, by something that ignores ranges: what is known already is passed over.
        let mut skip = self.state.offset - piece.start;
        if piece.end.is_none() && !self.state.told_ranges {
            self.state.told_ranges = true;
            tracing::info!("something on the way ignores ranges: each request reads the file from its start");
        }
        let expected = piece.end.map(|end| end - piece.start);
        let before = self.state.offset;
        let mut received: u64 = 0;
        loop {
            let frame = match tokio::time::timeout(self.stall, piece.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    self.back_off(format!("the connection broke: {}", root_cause(&error))).await?;
                    return Ok(false);
                }
                Ok(None) => break,
                Err(_) => {
                    self.back_off("the connection went silent".to_owned()).await?;
                    return Ok(false);
                }
            };
            let Ok(mut bytes) = frame.into_data() else { continue };
            let known = skip.min(bytes.len() as u64);
            skip -= known;
            bytes = bytes.split_off(known as usize);
            if expected.is_some_and(|expected| received + known + bytes.len() as u64 > expected) {
                return Err(CopyFailure::LogDownload(Error::failed(
                    "more bytes arrived than were announced, so the copy cannot be trusted",
                )));
            }
            received += known + bytes.len() as u64;
            self.keep(bytes).await?;
        }
        if expected.is_some_and(|expected| received < expected) {
            self.back_off("the connection ended early".to_owned()).await?;
            return Ok(false);
        }
        if skip > 0 {
            self.back_off("the answer ended before what was read already".to_owned()).await?;
            return Ok(false);
        }
        let at_end = piece.size.unwrap_or(received) == self.state.offset;
        if !self.state.part {
            return Ok(at_end);
        }
        let gained = self.state.offset - before;
        if gained == 0 {
            // Only something that ignores ranges answers without news; it needs the same patience as a 416.
            return self.on_eof(piece.size).await;
        }
        if at_end && self.verified_early().await? {
            return Ok(true);
        }
        // Without ranges each answer costs the whole file, so there is always a pause.
        if at_end && (gained < WORTHWHILE || piece.end.is_none()) {
            tokio::time::sleep(GROWING).await;
        }
        Ok(false)
    }

    async fn keep(&mut self, bytes: Bytes) -> Result<(), CopyFailure> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        if self.state.offset + length > self.most {
            let what = format!(
                "the snapshot does not end: {} bytes arrived, far more than the database holds",
                self.state.offset
            );
            return Err(CopyFailure::LogDownload(
                Error::failed(what).hint("something between this machine and the kubelet answers in its place"),
            ));
        }
        // A slow disk, or a slow reader of standard output, is no stall of the cluster.
        self.writer.push(bytes).await?;
        self.state.offset += length;
        self.state.last_byte = Instant::now();
        self.state.trouble = None;
        self.state.pause = GROWING;
        self.progress.set_position(self.state.offset);
        Ok(())
    }

    /// Everything that is there has been read; true when that is all there will be.
    async fn on_eof(&mut self, size: Option<u64>) -> Result<bool, CopyFailure> {
        if size.is_some_and(|size| size < self.state.offset) {
            return Err(self.shrunk(size.unwrap_or_default()));
        }
        if !self.state.part || self.verified_early().await? {
            return Ok(true);
        }
        self.ask_pod().await?;
        // A whole snapshot that only waits for the node's disk (fsync, then the rename) is no stall; the job's own
        // deadline ends that.
        if !may_be_complete(self.state.offset) {
            self.watchdog("etcdctl on the node writes nothing")?;
        }
        tokio::time::sleep(GROWING).await;
        Ok(false)
    }

    /// Whether the trailer matches already; asked once for each length.
    async fn verified_early(&mut self) -> Result<bool, CopyFailure> {
        if !may_be_complete(self.state.offset) || self.state.checked_at == self.state.offset {
            return Ok(false);
        }
        self.state.checked_at = self.state.offset;
        Ok(self.writer.is_verified().await?)
    }

    /// Neither name can be taken for granted: `.part` is renamed when complete, and both are gone with the job.
    async fn no_such_file(&mut self) -> Result<(), CopyFailure> {
        if self.state.part {
            self.state.part = false;
            return Ok(());
        }
        // Where the final name is missing, etcdctl has not come that far, has failed, or everything is gone.
        let ended_before = self.state.phase == Phase::Succeeded;
        self.state.last_asked = None;
        self.ask_pod().await?;
        if ended_before {
            let what = format!(
                "the finished snapshot is no longer in {} on node {}",
                self.directory.path, self.directory.node
            );
            return Err(CopyFailure::LogDownload(
                Error::failed(what).hint("somebody or something removed it: run the backup again"),
            ));
        }
        self.state.part = self.state.phase != Phase::Succeeded;
        self.watchdog("etcdctl on the node writes no file")?;
        tokio::time::sleep(GROWING).await;
        Ok(())
    }

    /// Asks how the pod stands, at most once a second; its failure ends the copy.
    async fn ask_pod(&mut self) -> Result<(), CopyFailure> {
        if self.state.last_asked.is_some_and(|asked| asked.elapsed() < ASK_POD) {
            return Ok(());
        }
        self.state.last_asked = Some(Instant::now());
        match self.job_pod.phase(self.pod).await {
            Ok(Phase::Failed(failure)) => Err(CopyFailure::Pod(failure)),
            Ok(phase) => {
                self.state.phase = phase;
                Ok(())
            }
            // It was asked for before the copy began.
            Err(failure) if failure.is_transient_once_allowed() => Ok(()),
            Err(failure) => Err(CopyFailure::LogDownload(failure.into())),
        }
    }

    /// A request failed in a way that may pass: waits a little longer each time, until the stall limit.
    async fn back_off(&mut self, trouble: String) -> Result<(), CopyFailure> {
        tracing::info!(offset = self.state.offset, %trouble, "the copy pauses");
        self.state.trouble = Some(trouble);
        self.watchdog("the copy stalled")?;
        tokio::time::sleep(self.state.pause).await;
        self.state.pause = (self.state.pause * 2).min(LONGEST_PAUSE);
        // A pod that is gone is a better answer than a stall.
        self.ask_pod().await
    }

    fn watchdog(&self, stage: &str) -> Result<(), CopyFailure> {
        if self.state.last_byte.elapsed() < self.stall {
            return Ok(());
        }
        let cause = self.state.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
        let what = format!(
            "{stage}: no byte from node {} for {}s, after {} bytes{cause}",
            self.directory.node,
            self.stall.as_secs_f32(),
            self.state.offset
        );
        let error = Error::failed(what);
        Err(CopyFailure::LogDownload(if self.state.offset == 0 {
            error.hint("etcd may refuse the certificate, or a network policy may keep the job from it; -v=4 shows more")
        } else {
            error.hint("run the backup again; --stall-timeout sets the limit")
        }))
    }

    fn shrunk(&self, size: u64) -> CopyFailure {
        let what = format!("the file on the node became shorter: {size} bytes, after {} were read", self.state.offset);
        CopyFailure::LogDownload(Error::failed(what).hint("something changed it on the node: run the backup again"))
    }
}
