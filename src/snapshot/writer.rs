//! Where the bytes arrive: hashed, written and verified.
//!
//! etcd appends the sha-256 of a snapshot to it (`server/etcdserver/api/v3rpc/maintenance.go`, Snapshot), so the last
//! 32 bytes are the sha-256 of all others. Hashing and writing run in a thread of their own behind a short queue: the network is
//! read while the disk is busy, and memory stays bounded when it is not.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Length of the trailer.
const TRAILER: usize = 32;

/// Batches in the queue.
const QUEUE: usize = 4;

/// Bytes that are handed over at once. One read from the network gives some 16 KiB; waking the thread for each of them
/// took more time than writing it.
const BATCH: usize = 256 << 10;

/// A snapshot is whole pages of the database (at least 512 bytes each) and the trailer; etcd's own restore checks the
/// same remainder (`etcdutl/snapshot/v3_snapshot.go`).
pub(super) fn may_be_complete(size: u64) -> bool {
    size > 512 && size % 512 == TRAILER as u64
}

/// What a verified snapshot's bytes add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Bytes, trailer included.
    pub size: u64,
    /// SHA-256 of the whole file, in hex, as `sha256sum` prints it.
    pub sha256: String,
}

enum Message {
    Bytes(Vec<Bytes>),
    /// Does the trailer match what has arrived so far?
    Check(oneshot::Sender<bool>),
}

/// The writing thread, seen from the copy.
#[derive(Debug)]
pub struct SnapshotWriter<W> {
    queue: mpsc::Sender<Message>,
    /// A byte has been handed over.
    begun: watch::Sender<bool>,
    batch: Mutex<Batch>,
    thread: JoinHandle<Result<(W, Check)>>,
}

impl<W: Write + Send + 'static> SnapshotWriter<W> {
    /// Starts the thread that hashes and writes to `writer`; `name` is what errors call it.
    pub fn start(writer: W, name: String) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let thread = tokio::task::spawn_blocking(move || drain(receiver, writer, &name));
        SnapshotWriter { queue, begun: watch::Sender::new(false), batch: Mutex::default(), thread }
    }

    /// Takes the next bytes; waits while the queue is full.
    ///
    /// # Errors
    /// [`WriterClosed`]: the thread has ended, because writing failed; [`SnapshotWriter::finish`] tells why.
    pub(super) async fn push(&self, bytes: Bytes) -> Result<(), WriterClosed> {
        self.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        let full = {
            let mut batch = self.batch();
            batch.length += bytes.len();
            batch.pieces.push(bytes);
            (batch.length >= BATCH).then(|| std::mem::take(&mut *batch))
        };
        match full {
            Some(batch) => self.queue.send(Message::Bytes(batch.pieces)).await.map_err(|_| WriterClosed),
            None => Ok(()),
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what waits for its batch to be full.
    async fn hand_over(&self) -> Result<(), WriterClosed> {
        let batch = std::mem::take(&mut *self.batch());
        if batch.pieces.is_empty() {
            return Ok(());
        }
        self.queue.send(Message::Bytes(batch.pieces)).await.map_err(|_| WriterClosed)
    }

    /// Waits for the first bytes: from then on etcd reads from one state of its database, whatever it compacts
    /// meanwhile. False when the intake ends without any.
    pub fn begun(&self) -> impl Future<Output = bool> + use<W> {
        let mut begun = self.begun.subscribe();
        async move { begun.wait_for(|begun| *begun).await.is_ok() }
    }

    /// Nothing has been handed over yet, so a snapshot may still begin here.
    pub fn is_untouched(&self) -> bool {
        !*self.begun.borrow()
    }

    /// Whether the bytes so far are a whole snapshot.
    pub(super) async fn is_verified(&self) -> Result<bool, WriterClosed> {
        self.hand_over().await?;
        let (answer, answered) = oneshot::channel();
        self.queue.send(Message::Check(answer)).await.map_err(|_| WriterClosed)?;
        answered.await.map_err(|_| WriterClosed)
    }

    /// Waits for everything to be written; gives the writer back with the checksum.
    ///
    /// # Errors
    /// What writing failed with; [`ErrorKind::BadFile`] when the trailer does not match.
    pub async fn finish(self) -> Result<(W, Checksum)> {
        // Where the thread has ended already, it says why below.
        let _ = self.hand_over().await;
        drop(self.queue);
        let ended =
            self.thread.await.map_err(|_| Error::failed("the thread that writes the file ended unexpectedly"))?;
        let (writer, check) = ended?;
        Ok((writer, check.verify()?))
    }
}

/// Bytes that wait until there are enough of them.
#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Bytes>,
    length: usize,
}

/// The intake takes no more.
#[derive(Debug)]
pub(super) struct WriterClosed;

fn drain<W: Write>(mut queue: mpsc::Receiver<Message>, mut writer: W, name: &str) -> Result<(W, Check)> {
    let mut check = Check::default();
    while let Some(message) = queue.blocking_recv() {
        match message {
            Message::Bytes(pieces) => {
                for bytes in pieces {
                    check.update(&bytes);
                    writer.write_all(&bytes).map_err(|error| write_error(name, &error))?;
                }
            }
            Message::Check(answer) => {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(check.matches());
            }
        }
    }
    writer.flush().map_err(|error| write_error(name, &error))?;
    Ok((writer, check))
}

fn write_error(name: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::new(ErrorKind::StdoutClosed, "standard output was closed before the snapshot was complete")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::failed(format!("cannot write {name}: {error}"))
                .hint("choose another file system with --out, or make room")
        }
        _ => Error::failed(format!("cannot write {name}: {error}")),
    }
}

/// The running hash of everything but the last 32 bytes, which wait until it is known whether more follows.
#[derive(Debug, Default, Clone)]
struct Check {
    body: Sha256,
    tail: Vec<u8>,
    size: u64,
}

impl Check {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if bytes.len() >= TRAILER {
            self.body.update(&self.tail);
            let (body, tail) = bytes.split_at(bytes.len() - TRAILER);
            self.body.update(body);
            self.tail.clear();
            self.tail.extend_from_slice(tail);
        } else {
            self.tail.extend_from_slice(bytes);
            let body = self.tail.len().saturating_sub(TRAILER);
            self.body.update(&self.tail[..body]);
            self.tail.drain(..body);
        }
    }

    fn matches(&self) -> bool {
        may_be_complete(self.size) && self.body.clone().finalize().as_slice() == self.tail.as_slice()
    }

    fn verify(self) -> Result<Checksum> {
        if !may_be_complete(self.size) {
            return Err(Error::new(
                ErrorKind::BadFile,
                format!("the snapshot is incomplete: {} bytes are no whole pages and a checksum", self.size),
            )
            .hint("run the backup again; if it happens again, choose another member with --member"));
        }
        if !self.matches() {
            return Err(Error::new(
                ErrorKind::BadFile,
                "the snapshot is bad: the sha-256 at its end does not match its contents, so bytes changed on the way",
            )
            .hint("run the backup again; if it happens again, suspect the proxy in between or the disk of the node, and choose another member with --member"));
        }
        let mut whole = self.body;
        whole.update(&self.tail);
        let sha256 = whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Checksum { size: self.size, sha256 })
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

    fn verify(bytes: &[u8], piece: usize) -> Result<Checksum> {
        let mut check = Check::default();
        bytes.chunks(piece).for_each(|piece| check.update(piece));
        check.verify()
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
    async fn a_full_disk_is_told_at_the_end() {
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
        let error = writer.finish().await.err().expect("nothing could be written");
        assert!(error.message().contains("cannot write x.db"));
    }
}
