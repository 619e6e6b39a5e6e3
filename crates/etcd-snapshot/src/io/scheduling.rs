//! How several threads share one file, and how all are stopped.
//!
//! One thread reads the file from its beginning to its end for the sha-256, the others walk its pages in the order of
//! their keys, which on a disk can be any order. While the file is in memory all go at their own pace. Where it has to
//! come from a disk first, the walk waits for the first thread to have passed: then everything is read once, in one go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ProgressFn;
use crate::report::ReadFailure;

/// A batch out of memory takes some hundred microseconds; one from a disk takes more than this.
const FROM_DISK: Duration = Duration::from_millis(2);

/// What the threads know of each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Up to here the file has been read from its beginning; `u64::MAX` when nobody reads it like that (any more).
    front: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// `ahead`: there will be a thread that reads from the beginning to the end.
    pub(crate) fn new(ahead: bool) -> Self {
        Shared { front: AtomicU64::new(if ahead { 0 } else { u64::MAX }), stop: AtomicBool::new(false) }
    }

    /// The file has been read up to `offset`.
    pub(crate) fn passed(&self, offset: u64) {
        self.front.store(offset, Ordering::Relaxed);
    }

    /// Ends all threads.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One thread's view.
#[derive(Clone, Copy)]
pub(crate) struct ReadScheduler<'a> {
    shared: &'a Shared,
    progress: ProgressFn<'a>,
    /// A read came from a disk.
    slow: bool,
    /// This is the thread that reads from the beginning to the end: it waits for nobody.
    leads: bool,
    began: Option<Instant>,
}

impl std::fmt::Debug for ReadScheduler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadScheduler").field("shared", self.shared).field("slow", &self.slow).finish_non_exhaustive()
    }
}

impl<'a> ReadScheduler<'a> {
    pub(crate) fn new(shared: &'a Shared, progress: ProgressFn<'a>) -> Self {
        ReadScheduler { shared, progress, slow: false, leads: false, began: None }
    }

    /// The view of the thread that reads from the beginning to the end.
    pub(crate) fn leading(self) -> Self {
        ReadScheduler { leads: true, ..self }
    }

    /// The file has been read from the beginning to the end, or nobody does that.
    pub(crate) fn is_alone(&self) -> bool {
        self.shared.front.load(Ordering::Relaxed) == u64::MAX
    }

    /// A read had to wait for a disk.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Before bytes up to `end` are read: waits for the other thread if the disk is slow.
    pub(crate) fn before(&mut self, end: u64) {
        if self.slow && !self.leads {
            while self.shared.front.load(Ordering::Relaxed) < end && !self.shared.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.began = Some(Instant::now());
    }

    /// After a read of `bytes` bytes.
    ///
    /// # Errors
    /// [`ReadFailure::Cancelled`].
    pub(crate) fn after(&mut self, bytes: u64) -> Result<(), ReadFailure> {
        // Once slow, always slow: what has been passed is in memory and says nothing about the rest.
        self.slow |= self.began.take().is_some_and(|began| began.elapsed() > FROM_DISK);
        if self.shared.stop.load(Ordering::Relaxed) || !(self.progress)(bytes) {
            self.shared.stop();
            return Err(ReadFailure::Cancelled);
        }
        Ok(())
    }
}
