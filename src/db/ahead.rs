//! Parts of the file that are read together, and a thread that reads ahead of the one that hashes them: hashing takes
//! so much longer than reading that this is worth while.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::pace::Pace;
use super::report::Failure;
use super::source::Source;

/// A file below this size is read before a thread has started. Tests and the fuzzer have small files and want the
/// thread.
const WORTHWHILE: u64 = if cfg!(debug_assertions) { 16 << 10 } else { 8 << 20 };

/// A part of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Some parts of the file that are read together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) extents: Vec<Extent>,
    buffer: Vec<u8>,
    /// Where each extent ends in the buffer.
    ends: Vec<usize>,
}

impl Batch {
    pub(super) fn new(extents: Vec<Extent>) -> Self {
        Batch { extents, ..Batch::default() }
    }

    /// Reads the extents.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(super) fn read<S: Source + ?Sized>(&mut self, source: &S, pace: &mut Pace<'_>) -> Result<(), Failure> {
        self.ends.clear();
        let mut end = 0_usize;
        for extent in &self.extents {
            end = end.saturating_add(usize::try_from(extent.length).unwrap_or(usize::MAX));
            self.ends.push(end);
        }
        if self.buffer.len() < end {
            // Somewhat more, as the next batch is a little larger or smaller.
            self.buffer = vec![0; end.saturating_add(end / 8)];
        }
        pace.before(self.extents.iter().map(|extent| extent.offset + extent.length).max().unwrap_or_default());
        let mut start = 0;
        for (extent, end) in self.extents.iter().zip(&self.ends) {
            source.read_exact_at(&mut self.buffer[start..*end], extent.offset)?;
            start = *end;
        }
        pace.after(end as u64)
    }

    /// The bytes of one extent, once they are read.
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(index).and_then(|end| self.buffer.get(start..*end)).unwrap_or_default()
    }

    /// Bytes of memory that it takes.
    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }
}

/// What the thread has read, or why it could not.
type Replies = Receiver<Result<Batch, Failure>>;

/// The reading thread, seen from the one that uses what it reads. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    requests: SyncSender<Batch>,
    replies: Replies,
    /// A batch was asked for and not taken yet.
    pending: bool,
}

impl Ahead {
    /// Starts the thread, if `size` bytes are worth it.
    pub(super) fn start<'scope, S: Source + ?Sized>(
        scope: &'scope Scope<'scope, '_>,
        source: &'scope S,
        size: u64,
        mut pace: Pace<'scope>,
    ) -> Option<Self> {
        if size < WORTHWHILE {
            return None;
        }
        let (requests, requested) = sync_channel::<Batch>(1);
        let (reply, replies) = sync_channel(1);
        scope.spawn(move || {
            for mut batch in requested {
                let outcome = batch.read(source, &mut pace);
                if reply.send(outcome.map(|()| batch)).is_err() {
                    return;
                }
            }
        });
        Some(Ahead { requests, replies, pending: false })
    }

    /// Asks for a batch, whose buffer is used again. The one before must have been taken.
    pub(super) fn ask(&mut self, batch: Batch) {
        self.pending = true;
        // A thread that is gone has sent a failure, which `take` finds.
        let _ = self.requests.send(batch);
    }

    /// Waits for the batch that was asked for; `None` when none was.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, Failure> {
        if !std::mem::take(&mut self.pending) {
            return Ok(None);
        }
        self.replies.recv().unwrap_or(Err(Failure::Stopped)).map(Some)
    }
}
