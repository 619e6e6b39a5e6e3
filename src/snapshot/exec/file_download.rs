//! Downloads the file that etcdctl wrote in the container.
//!
//! A broken connection is resumed at its offset. exec streams can end cleanly in the middle of a file, so the copy is
//! complete only if the tool that prints the file succeeded and the size matches.

use std::time::Instant;

use bytes::Bytes;

use super::container::ContainerShell;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::k8s::{ExecEvent, ExecOutput, KubeClient};
use crate::snapshot::error::TransportError;
use crate::snapshot::known_bytes::KnownBytes;
use crate::snapshot::request::Request;
use crate::snapshot::stall::{RETRY_HINT, StallTimer};
use crate::snapshot::writer::SnapshotWriter;
use crate::util::progress::Progress;

/// Where the file is read, and where its bytes go.
pub(super) struct FileDownloadContext<'d> {
    pub client: &'d KubeClient,
    pub request: &'d Request<'d>,
    pub shell: &'d ContainerShell,
    pub path: &'d str,
    pub reader: Reader,
    /// When the whole backup must be over.
    pub until: Instant,
    pub writer: &'d SnapshotWriter,
    pub progress: &'d dyn Progress,
}

/// One download.
pub(super) struct FileDownload<'d> {
    context: FileDownloadContext<'d>,
    position: Position,
    stall: StallTimer,
}

/// How one command that prints the file ended.
#[derive(Debug, PartialEq, Eq)]
enum ReadEnd {
    Complete,
    /// It must be started again at the offset that was reached; the reason.
    Interrupted(String),
}

impl<'d> FileDownload<'d> {
    /// Prepares the download of a file of `size` bytes, if the size is known.
    pub(super) fn new(context: FileDownloadContext<'d>, size: Option<u64>) -> Self {
        let position = Position::new(size, context.request.max_size(), context.shell.place());
        let stall = StallTimer::new(context.request.limits.stall_timeout);
        FileDownload { context, position, stall }
    }

    /// Downloads until all bytes are here, and resumes after each interruption.
    pub(super) async fn run(mut self) -> Result<(), TransportError> {
        loop {
            let cause = match self.read().await? {
                ReadEnd::Complete => return Ok(()),
                ReadEnd::Interrupted(cause) => cause,
            };
            tracing::info!(offset = self.position.offset, trouble = %cause, "the copy pauses");
            if self.stall.is_expired() {
                let (place, received) = (&self.position.place, self.position.offset);
                let error = self.stall.error("the copy stalled", place, received, Some(&cause));
                return Err(error.hint(RETRY_HINT).into());
            }
            tokio::time::sleep(self.stall.next_pause()).await;
        }
    }

    /// Reads from the offset on.
    async fn read(&mut self) -> Result<ReadEnd, TransportError> {
        let FileDownloadContext { client, request, shell, path, reader, until, .. } = self.context;
        let (from, repeated) = reader.resume_at(self.position.offset);
        self.position.known = KnownBytes::new(repeated);
        let mut command = match shell.start(client, &reader.script(), &[path, &from]).await {
            Ok(command) => command,
            // Commands were allowed in this container before.
            Err(failure) if failure.is_transient_once_allowed() => {
                return Ok(ReadEnd::Interrupted(failure.error().message().to_owned()));
            }
            Err(failure) => return Err(failure.into()),
        };
        loop {
            let patience = request.limits.stall_timeout.min(until.saturating_duration_since(Instant::now()));
            match command.next(patience).await {
                Ok(ExecEvent::Stdout(bytes)) => {
                    let bytes = self.position.accept(bytes)?;
                    if bytes.is_empty() {
                        continue;
                    }
                    self.context.writer.push(bytes).await?;
                    self.stall.reset();
                    self.context.progress.set_position(self.position.offset);
                }
                Ok(ExecEvent::Exited(output)) => return Ok(self.position.end(output)?),
                Err(cause) => return Ok(ReadEnd::Interrupted(cause)),
            }
        }
    }
}

/// How far the download is. Decides what output means, without requests.
#[derive(Debug)]
struct Position {
    offset: u64,
    /// Size of the file, if the container reports it.
    size: Option<u64>,
    /// More bytes than the file can have.
    limit: u64,
    /// What the current command repeats.
    known: KnownBytes,
    place: String,
}

impl Position {
    fn new(size: Option<u64>, max_size: u64, place: String) -> Self {
        Position { offset: 0, size, limit: size.unwrap_or(max_size), known: KnownBytes::new(0), place }
    }

    /// Returns the bytes of `bytes` that are new.
    fn accept(&mut self, bytes: Bytes) -> Result<Bytes> {
        let bytes = self.known.strip(bytes);
        if self.offset + bytes.len() as u64 > self.limit {
            return Err(Error::failed(format!(
                "more bytes arrived than the file in {} has ({}), so the copy cannot be trusted",
                self.place, self.limit
            )));
        }
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }

    /// Returns what the end of the command means.
    fn end(&self, output: ExecOutput) -> Result<ReadEnd> {
        if output.success {
            let complete = self.size.is_none_or(|size| self.offset == size) && self.known.all_seen();
            return Ok(if complete {
                ReadEnd::Complete
            } else {
                ReadEnd::Interrupted(format!("the output ended at {} bytes", self.offset))
            });
        }
        let message = output.stderr.trim();
        if message.contains("No such file") || message.contains("no such file") {
            return Err(Error::failed(format!(
                "the finished snapshot is no longer in {}: {}",
                self.place,
                message.lines().next().unwrap_or_default()
            ))
            .hint("run the backup again; another process deleted the file"));
        }
        let message = message.lines().last().unwrap_or_default();
        Ok(ReadEnd::Interrupted(if message.is_empty() { output.reason } else { message.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(size: Option<u64>) -> Position {
        Position::new(size, 1000, "container etcd".to_owned())
    }

    fn exited(success: bool, stderr: &str) -> ExecOutput {
        ExecOutput { stdout: String::new(), stderr: stderr.to_owned(), success, reason: "exit code 1".to_owned() }
    }

    fn interrupted(cause: &str) -> ReadEnd {
        ReadEnd::Interrupted(cause.to_owned())
    }

    #[test]
    fn a_resumed_command_adds_only_what_is_new() {
        let mut position = position(Some(10));
        assert_eq!(position.accept(Bytes::from_static(b"abcd")).expect("they fit"), "abcd");
        // `cat` prints the file from its start.
        position.known = KnownBytes::new(position.offset);
        assert_eq!(position.accept(Bytes::from_static(b"abcdef")).expect("they fit"), "ef");
        assert_eq!(position.offset, 6);
        assert_eq!(position.end(exited(true, "")), Ok(interrupted("the output ended at 6 bytes")));
        position.accept(Bytes::from_static(b"ghij")).expect("they fit");
        assert_eq!(position.end(exited(true, "tail: warning")), Ok(ReadEnd::Complete));
    }

    #[test]
    fn a_resumed_command_that_ends_before_the_offset_is_interrupted() {
        let mut position = position(None);
        position.accept(Bytes::from_static(b"abcd")).expect("they fit");
        position.known = KnownBytes::new(4);
        assert!(position.accept(Bytes::from_static(b"ab")).expect("they are known").is_empty());
        assert_eq!(position.end(exited(true, "")), Ok(interrupted("the output ended at 4 bytes")));
    }

    #[test]
    fn without_a_size_the_success_of_the_tool_is_the_end() {
        let mut position = position(None);
        position.accept(Bytes::from_static(b"abcd")).expect("they fit");
        assert_eq!(position.end(exited(true, "")), Ok(ReadEnd::Complete));
    }

    #[test]
    fn more_bytes_than_the_file_has_are_an_error() {
        assert!(position(Some(3)).accept(Bytes::from_static(b"abcd")).is_err());
        assert!(position(None).accept(Bytes::from(vec![0; 1001])).is_err());
    }

    #[test]
    fn a_tool_that_fails_is_started_again_unless_the_file_is_gone() {
        let position = position(Some(10));
        assert_eq!(position.end(exited(false, "tail: x\ntail: read error\n")), Ok(interrupted("tail: read error")));
        assert_eq!(position.end(exited(false, "")), Ok(interrupted("exit code 1")));
        let error = position.end(exited(false, "cat: can't open 'x': No such file or directory")).expect_err("gone");
        assert!(error.message().starts_with("the finished snapshot is no longer in container etcd: cat"));
    }
}
