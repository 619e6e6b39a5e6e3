//! Hashes the bytes of a snapshot, writes them, and verifies the checksum at the end.
//!
//! etcd appends the sha-256 of a snapshot to it (`server/etcdserver/api/v3rpc/maintenance.go`, Snapshot), so the last
//! 32 bytes are the sha-256 of all others. Hashing and writing run in a thread of their own behind a short queue, so
//! that the network is read while the disk is busy. The queue is bounded, so a slow disk does not fill the memory.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Length of the checksum at the end of a snapshot.
pub(super) const CHECKSUM_LENGTH: usize = 32;

/// Batches in the queue.
const QUEUE: usize = 4;

/// Bytes that are sent to the thread at once. One read from the network returns some 16 KiB, and waking the thread for
/// each of them takes longer than writing it.
const BATCH: usize = 256 << 10;

/// Returns whether a snapshot can have this size: whole pages of the database (at least 512 bytes each) plus the
/// checksum. etcd's own restore checks the same remainder (`etcdutl/snapshot/v3_snapshot.go`).
pub(super) fn may_be_complete(size: u64) -> bool {
    size > 512 && size % 512 == CHECKSUM_LENGTH as u64
}

/// Size and hash of a snapshot whose checksum matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCopy {
    /// Bytes, with the checksum at the end.
    pub size: u64,
    /// SHA-256 of the whole file, in hex, as `sha256sum` prints it.
    pub sha256: String,
}

enum WriterMessage {
    Bytes(Vec<Bytes>),
    /// Asks whether the bytes so far end with their checksum.
    Verify(oneshot::Sender<bool>),
}

/// Sends the bytes of a copy to the thread that writes them.
#[derive(Debug)]
pub struct SnapshotWriter {
    queue: mpsc::Sender<WriterMessage>,
    /// A byte was pushed.
    begun: watch::Sender<bool>,
    batch: Mutex<Batch>,
    thread: JoinHandle<Result<RunningChecksum>>,
}

impl SnapshotWriter {
    /// Starts the thread that hashes the bytes and writes them to `writer`. Errors call it `name`.
    pub fn start(writer: impl Write + Send + 'static, name: String) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let thread = tokio::task::spawn_blocking(move || drain(receiver, writer, &name));
        SnapshotWriter { queue, begun: watch::Sender::new(false), batch: Mutex::default(), thread }
    }

    /// Accepts the next bytes. Waits while the queue is full.
    ///
    /// # Errors
    /// [`WriterClosed`] if writing failed; [`SnapshotWriter::finish`] returns the reason.
    pub(super) async fn push(&self, bytes: Bytes) -> Result<(), WriterClosed> {
        self.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        let full = {
            let mut batch = self.batch();
            batch.length += bytes.len();
            batch.pieces.push(bytes);
            (batch.length >= BATCH).then(|| std::mem::take(&mut *batch))
        };
        match full {
            Some(batch) => self.queue.send(WriterMessage::Bytes(batch.pieces)).await.map_err(|_| WriterClosed),
            None => Ok(()),
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the bytes that wait for their batch to be full.
    async fn flush_batch(&self) -> Result<(), WriterClosed> {
        let batch = std::mem::take(&mut *self.batch());
        if batch.pieces.is_empty() {
            return Ok(());
        }
        self.queue.send(WriterMessage::Bytes(batch.pieces)).await.map_err(|_| WriterClosed)
    }

    /// Waits for the first bytes. From then on etcd reads from one state of its database, whatever it compacts later.
    /// Returns false if the writer ends without any.
    pub fn begun(&self) -> impl Future<Output = bool> + use<> {
        let mut begun = self.begun.subscribe();
        async move { begun.wait_for(|begun| *begun).await.is_ok() }
    }

    /// Returns whether nothing was pushed yet, so that another snapshot may still begin here.
    pub fn is_untouched(&self) -> bool {
        !*self.begun.borrow()
    }

    /// Returns whether the bytes so far are a whole snapshot.
    pub(super) async fn is_verified(&self) -> Result<bool, WriterClosed> {
        self.flush_batch().await?;
        let (answer, answered) = oneshot::channel();
        self.queue.send(WriterMessage::Verify(answer)).await.map_err(|_| WriterClosed)?;
        answered.await.map_err(|_| WriterClosed)
    }

    /// Waits until everything is written, and verifies the checksum.
    ///
    /// # Errors
    /// Why writing failed; [`ErrorKind::BadFile`] if the checksum does not match.
    pub async fn finish(self) -> Result<VerifiedCopy> {
        // If the thread has ended already, its result below has the reason.
        let _ = self.flush_batch().await;
        drop(self.queue);
        let ended =
            self.thread.await.map_err(|_| Error::failed("the thread that writes the file ended unexpectedly"))?;
        ended?.verify()
    }
}

/// Bytes that wait until there are enough of them.
#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Bytes>,
    length: usize,
}

/// The thread has ended, because writing failed.
#[derive(Debug)]
pub(super) struct WriterClosed;

fn drain(mut queue: mpsc::Receiver<WriterMessage>, mut writer: impl Write, name: &str) -> Result<RunningChecksum> {
    let mut checksum = RunningChecksum::default();
    while let Some(message) = queue.blocking_recv() {
        match message {
            WriterMessage::Bytes(pieces) => {
                for bytes in pieces {
                    checksum.update(&bytes);
                    writer.write_all(&bytes).map_err(|error| write_error(name, &error))?;
                }
            }
            WriterMessage::Verify(answer) => {
                // The copy may have ended before it got the answer.
                let _ = answer.send(checksum.matches());
            }
        }
    }
    writer.flush().map_err(|error| write_error(name, &error))?;
    Ok(checksum)
}

fn write_error(name: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::new(ErrorKind::StdoutClosed, "standard output was closed before the snapshot was complete")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::failed(format!("cannot write {name}: {error}"))
                .hint("choose another file system with --out, or free some space")
        }
        _ => Error::failed(format!("cannot write {name}: {error}")),
    }
}

/// The running hash of everything but the last 32 bytes, which may be the checksum or, if more follows, part of the
/// database.
#[derive(Debug, Default, Clone)]
struct RunningChecksum {
    body: Sha256,
    tail: Vec<u8>,
    size: u64,
}

impl RunningChecksum {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if bytes.len() >= CHECKSUM_LENGTH {
            self.body.update(&self.tail);
            let (body, tail) = bytes.split_at(bytes.len() - CHECKSUM_LENGTH);
            self.body.update(body);
            self.tail.clear();
            self.tail.extend_from_slice(tail);
        } else {
            self.tail.extend_from_slice(bytes);
            let body = self.tail.len().saturating_sub(CHECKSUM_LENGTH);
            self.body.update(&self.tail[..body]);
            self.tail.drain(..body);
        }
    }

    fn matches(&self) -> bool {
        may_be_complete(self.size) && self.body.clone().finalize().as_slice() == self.tail.as_slice()
    }

    fn verify(self) -> Result<VerifiedCopy> {
        if !may_be_complete(self.size) {
            return Err(Error::new(
                ErrorKind::BadFile,
                format!(
                    "the snapshot is incomplete: {} bytes is not a whole number of pages plus a 32-byte checksum",
                    self.size
                ),
            )
            .hint("run the backup again; if it happens again, choose another member with --member"));
        }
        if !self.matches() {
            return Err(Error::new(
                ErrorKind::BadFile,
                "the snapshot is bad: the sha-256 at its end does not match its contents, so bytes changed during the copy",
            )
            .hint("run the backup again; if it happens again, check the proxies and the disk of the node, and choose another member with --member"));
        }
        let mut whole = self.body;
        whole.update(&self.tail);
        let sha256 = whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(VerifiedCopy { size: self.size, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(pages: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..pages * 4096).map(|n| (n % 251) as u8).collect();
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(sum.as_slice());
        bytes
    }

    fn verify(bytes: &[u8], piece: usize) -> Result<VerifiedCopy> {
        let mut checksum = RunningChecksum::default();
        bytes.chunks(piece).for_each(|piece| checksum.update(piece));
        checksum.verify()
    }

    #[test]
    fn pieces_of_any_length_give_the_same_checksum() {
        let bytes = snapshot(3);
        let whole = verify(&bytes, bytes.len()).expect("it is good");
        assert_eq!(whole.sha256, Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        for piece in [1, 7, 31, 32, 33, 4096, 5000] {
            assert_eq!(verify(&bytes, piece).expect("it is good"), whole, "{piece}");
        }
    }

    #[test]
    fn one_changed_byte_anywhere_is_seen() {
        let good = snapshot(2);
        for at in (0..good.len()).step_by(97).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(verify(&bad, 1000).expect_err("one bit differs").kind(), ErrorKind::BadFile, "{at}");
        }
    }

    #[test]
    fn a_cut_at_any_place_is_seen() {
        let good = snapshot(2);
        for length in (0..good.len()).step_by(61).chain([good.len() - 1, good.len() - 32, 512 + 32]) {
            assert!(verify(&good[..length], 1000).is_err(), "{length}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_reported_at_the_end() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let writer = SnapshotWriter::start(Full, "x.db".to_owned());
        while writer.push(Bytes::from_static(b"bytes")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let error = writer.finish().await.expect_err("nothing could be written");
        assert!(error.message().contains("cannot write x.db"));
    }
}
