//! Reading in threads of its own, ahead of whoever uses it: while one batch is examined or hashed, the next ones are on
//! their way from the page cache or the disk.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::pace::Pace;
use super::report::Failure;
use super::source::Source;

/// A file below this size is read before a thread has started. Tests and the fuzzer have small files and want the
/// threads.
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
    /// How many pages somebody wanted when it was put together.
    pub(super) wanted: usize,
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

/// What a thread has read, or why it could not.
type Replies = Receiver<Result<Batch, Failure>>;

/// The reading threads, seen from the one that uses what they read. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Ahead {
    threads: Vec<(SyncSender<Batch>, Replies)>,
    /// How many pages are wanted of each batch that was asked for and not taken yet. The batches go round the threads.
    pending: VecDeque<usize>,
    oldest: usize,
}

impl Ahead {
    /// Starts so many threads, if `size` bytes are worth it.
    pub(super) fn start<'scope, S: Source + ?Sized>(
        scope: &'scope Scope<'scope, '_>,
        source: &'scope S,
        (size, threads): (u64, usize),
        pace: Pace<'scope>,
    ) -> Option<Self> {
        let start = |_| {
            let (request, requested) = sync_channel::<Batch>(1);
            let (reply, replies) = sync_channel(1);
            let mut pace = pace;
            scope.spawn(move || {
                for mut batch in requested {
                    let outcome = batch.read(source, &mut pace);
                    if reply.send(outcome.map(|()| batch)).is_err() {
                        return;
                    }
                }
            });
            (request, replies)
        };
        let threads = if size < WORTHWHILE { 0 } else { threads };
        let threads: Vec<_> = (0..threads).map(start).collect();
        (!threads.is_empty()).then(|| Ahead { threads, pending: VecDeque::new(), oldest: 0 })
    }

    /// How many pages are wanted of all that was asked for.
    pub(super) fn wanted(&self) -> usize {
        self.pending.iter().sum()
    }

    /// A thread has nothing to do.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < self.threads.len()
    }

    /// Asks for a batch, whose buffer is used again. There must be room.
    pub(super) fn ask(&mut self, batch: Batch) {
        let thread = (self.oldest + self.pending.len()) % self.threads.len();
        self.pending.push_back(batch.wanted);
        // A thread that is gone has sent a failure, which `take` finds.
        if let Some((requests, _)) = self.threads.get(thread) {
            let _ = requests.send(batch);
        }
    }

    /// Waits for the batch that was asked for first; `None` when none was.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(super) fn take(&mut self) -> Result<Option<Batch>, Failure> {
        let Some((_, replies)) = self.pending.pop_front().and_then(|_| self.threads.get(self.oldest)) else {
            return Ok(None);
        };
        self.oldest = (self.oldest + 1) % self.threads.len();
        replies.recv().unwrap_or(Err(Failure::Stopped)).map(Some)
    }
}
