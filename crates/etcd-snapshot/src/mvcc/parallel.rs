//! The walk of the bucket `key`, which is nearly all of a database, by two threads.
//!
//! Each worker takes the next segment of neighbouring leaf pages, reads it, and sends what it finds over a bounded
//! channel. A third thread, which mostly waits, adds the segments in the order of the keys, so the result does not depend
//! on which worker is faster. Each worker uses only what it has read itself: fetching the bytes from another core's cache
//! costs more than it saves.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::KeyHasher;
use super::key_index::KeyIndex;
use super::segment::{Chunk, SegmentVisitor};
use crate::cursor::{Branch, BranchCursor, WalkState, visit_leaf};
use crate::error::ReadFailure;
use crate::io::ReadAt;
use crate::page::PageReader;

/// How many chunks a worker may be ahead in its segment. The entries of a chunk take 224 KiB.
const CHUNKS_AHEAD: usize = 4;
/// How many segments may wait to be added.
const SEGMENTS_AHEAD: usize = 8;

/// From which size on two threads read a database. The report does not depend on the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParallelWalk {
    /// The number of pages from which on a second thread reads the bucket `key`. It costs more than it saves in a smaller
    /// database.
    pub min_pages: u64,
    /// The least number of leaf pages that a thread takes at a time. Adding two sums costs as much as reading some pages.
    pub segment_leaves: usize,
}

impl Default for ParallelWalk {
    fn default() -> Self {
        ParallelWalk { min_pages: 2048, segment_leaves: 512 }
    }
}

/// A chunk of a segment, or why the rest of it could not be read.
type Message = Result<Chunk, ReadFailure>;

/// The segments that are left to be read.
struct Segments {
    cursor: BranchCursor,
    /// Takes the receivers of the segments in the order of the keys; `None` when no segment is left.
    queue: Option<SyncSender<Receiver<Message>>>,
}

/// Reads segments until none is left.
struct Worker {
    segments: Arc<Mutex<Segments>>,
    hasher: KeyHasher,
    segment_leaves: usize,
}

/// A segment to be read.
struct Segment<'a> {
    /// Holds what was found on the way to the leaf pages.
    visitor: SegmentVisitor<'a>,
    branches: Vec<Branch>,
    chunks: SyncSender<Message>,
}

impl Worker {
    fn run<S: ReadAt + ?Sized>(self, mut reader: PageReader<'_, S>) {
        while let Some(segment) = self.next_segment(&mut reader) {
            if segment.read(&mut reader).is_none() {
                self.segments().queue = None;
            }
        }
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next segment and puts it into the queue, under one lock, so that the queue has the order of the keys.
    fn next_segment<S: ReadAt + ?Sized>(&self, reader: &mut PageReader<'_, S>) -> Option<Segment<'_>> {
        let mut segments = self.segments();
        let queue = segments.queue.clone()?;
        let (chunks, receiver) = sync_channel(CHUNKS_AHEAD);
        let mut segment = Segment { visitor: SegmentVisitor::new(&self.hasher), branches: Vec::new(), chunks };
        let found = segment.find(&mut segments.cursor, reader, self.segment_leaves);
        let is_last = found.is_err() || segment.is_empty();
        if let Err(failure) = found {
            // There is room: it is the only message.
            let _ = segment.chunks.send(Err(failure));
        }
        let is_wanted = queue.send(receiver).is_ok();
        if is_last || !is_wanted {
            segments.queue = None;
            return None;
        }
        Some(segment)
    }
}

impl Segment<'_> {
    /// Looks for neighbouring branch pages with enough leaf pages.
    fn find<S: ReadAt + ?Sized>(
        &mut self,
        cursor: &mut BranchCursor,
        reader: &mut PageReader<'_, S>,
        min_leaves: usize,
    ) -> Result<(), ReadFailure> {
        let mut leaves = 0;
        while leaves < min_leaves.max(1) && !self.visitor.is_full() {
            match cursor.next(reader, &mut self.visitor) {
                Ok(None) => break,
                Ok(Some(branch)) => {
                    leaves += branch.len();
                    self.branches.push(branch);
                }
                Err(error) => self.visitor.record(Err(error))?,
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.visitor.is_empty() && self.branches.is_empty()
    }

    /// Reads the leaf pages. Returns `None` if reading failed, or if no more chunks are wanted.
    fn read<S: ReadAt + ?Sized>(self, reader: &mut PageReader<'_, S>) -> Option<()> {
        let Segment { mut visitor, branches, chunks } = self;
        let leaves = branches.iter().flat_map(|branch| (0..branch.len()).map(move |index| (branch, index)));
        for (branch, index) in leaves {
            let outcome = visit_leaf(reader, branch, index, &mut visitor);
            if let Err(failure) = visitor.record(outcome) {
                let _ = chunks.send(Err(failure));
                return None;
            }
            if visitor.is_full() {
                break;
            }
            if let Some(chunk) = visitor.take_full_chunk() {
                chunks.send(Ok(chunk)).ok()?;
            }
        }
        chunks.send(Ok(visitor.into_last_chunk())).ok()
    }
}

/// Walks the bucket `key`, whose root is page `root`. Returns the sum `hash`, continued with its keys and values.
///
/// # Errors
/// Reading failed or was cancelled. What is wrong with the file is in `state`.
pub(crate) fn walk_key_bucket<S: ReadAt + ?Sized>(
    reader: &PageReader<'_, S>,
    root: u64,
    parallel: &ParallelWalk,
    state: &mut WalkState,
    index: &mut KeyIndex,
    hash: u32,
) -> Result<u32, ReadFailure> {
    let mut first = reader.for_other_thread();
    let cursor = match BranchCursor::new(&mut first, root) {
        Ok(cursor) => cursor,
        Err(error) => return state.record(Err(error)).map(|()| hash),
    };
    let (queue, segments) = sync_channel(SEGMENTS_AHEAD);
    // Shared by the workers alone: the queue ends when they do, however they end.
    let left = Arc::new(Mutex::new(Segments { cursor, queue: Some(queue) }));
    let worker = |left| Worker { segments: left, hasher: index.hasher(), segment_leaves: parallel.segment_leaves };
    let second = (reader.high_water_mark() >= parallel.min_pages)
        .then(|| (worker(Arc::clone(&left)), reader.for_other_thread()));
    let worker = worker(left);
    let page_size = reader.page_size();
    std::thread::scope(|scope| {
        let sum = scope.spawn(move || add_in_order(segments, state, index, hash, page_size));
        if let Some((worker, reader)) = second {
            scope.spawn(move || {
                // The thread that computes the sha-256 and the first worker use two cores. This one helps afterwards.
                while reader.sequential_is_running() && worker.segments().queue.is_some() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                worker.run(reader);
            });
        }
        worker.run(first);
        sum.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Adds all segments, until something fails or enough is wrong. Its end tells the workers that no more is wanted.
fn add_in_order(
    segments: Receiver<Receiver<Message>>,
    state: &mut WalkState,
    index: &mut KeyIndex,
    mut hash: u32,
    page_size: u64,
) -> Result<u32, ReadFailure> {
    for chunks in segments {
        for chunk in chunks {
            hash = chunk?.add_to(state, index, hash, page_size);
            if state.is_full() {
                return Ok(hash);
            }
        }
    }
    Ok(hash)
}

#[cfg(test)]
mod tests;
