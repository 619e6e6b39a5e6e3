//! How several threads share one file, and how all of them are cancelled.
//!
//! One thread reads the file from its beginning to its end for the sha-256. The others read the pages in the order of
//! their keys, which can be any order on the disk. While the file is in memory, all threads run freely. If it has to come
//! from a disk, the others wait until the sha-256 thread has passed a page, so that the disk is read once and in order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::ReadFailure;

/// Called after each read with its length in bytes, from any thread. Returning `false` cancels the check.
pub type ProgressFn<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// A batch from memory takes some hundred microseconds, one from a disk takes longer than this.
const FROM_DISK: Duration = Duration::from_millis(2);

/// What the threads of one check share.
#[derive(Debug, Default)]
pub(crate) struct ReadCoordinator {
    /// How far the sha-256 thread has read; `u64::MAX` if there is none or if it has finished.
    front: AtomicU64,
    cancelled: AtomicBool,
}

impl ReadCoordinator {
    /// `sequential`: there will be a thread that reads the file from its beginning to its end.
    pub(crate) fn new(sequential: bool) -> Self {
        ReadCoordinator {
            front: AtomicU64::new(if sequential { 0 } else { u64::MAX }),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Records that the sequential thread has read the file up to `offset`.
    pub(crate) fn advance(&self, offset: u64) {
        self.front.store(offset, Ordering::Relaxed);
    }

    /// Records that the sequential thread has finished.
    pub(crate) fn finish_sequential(&self) {
        self.front.store(u64::MAX, Ordering::Relaxed);
    }

    /// Ends all threads at their next read.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// One thread's view: when it may read, and whether it must stop.
#[derive(Clone, Copy)]
pub(crate) struct ReadScheduler<'a> {
    coordinator: &'a ReadCoordinator,
    progress: ProgressFn<'a>,
    /// A read came from a disk.
    slow: bool,
    /// This is the thread that reads the file from its beginning to its end, so it never waits.
    sequential: bool,
    began: Option<Instant>,
}

impl std::fmt::Debug for ReadScheduler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadScheduler")
            .field("coordinator", &self.coordinator)
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}

impl<'a> ReadScheduler<'a> {
    pub(crate) fn new(coordinator: &'a ReadCoordinator, progress: ProgressFn<'a>) -> Self {
        ReadScheduler { coordinator, progress, slow: false, sequential: false, began: None }
    }

    /// Returns the view of the thread that reads the file from its beginning to its end.
    pub(crate) fn sequential(self) -> Self {
        ReadScheduler { sequential: true, ..self }
    }

    /// Returns `true` while another thread computes the sha-256.
    pub(crate) fn sequential_is_running(&self) -> bool {
        self.coordinator.front.load(Ordering::Relaxed) != u64::MAX
    }

    /// Returns `true` if a read had to wait for a disk.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Called before bytes up to `end` are read. Waits for the sequential thread if the disk is slow.
    pub(crate) fn before_read(&mut self, end: u64) {
        if self.slow && !self.sequential {
            while self.coordinator.front.load(Ordering::Relaxed) < end
                && !self.coordinator.cancelled.load(Ordering::Relaxed)
            {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.began = Some(Instant::now());
    }

    /// Called after `bytes` bytes were read.
    ///
    /// # Errors
    /// [`ReadFailure::Cancelled`].
    pub(crate) fn after_read(&mut self, bytes: u64) -> Result<(), ReadFailure> {
        // Once slow, always slow: what the sequential thread has passed is in memory and says nothing about the rest.
        self.slow |= self.began.take().is_some_and(|began| began.elapsed() > FROM_DISK);
        if self.coordinator.cancelled.load(Ordering::Relaxed) || !(self.progress)(bytes) {
            self.coordinator.cancel();
            return Err(ReadFailure::Cancelled);
        }
        Ok(())
    }
}
