//! The sha-256 of the whole file and of all but its last 32 bytes, in one pass from the beginning to the end.

use sha2::{Digest, Sha256};

use crate::io::read_at::ReadAt;
use crate::io::read_batch::{Extent, ReadBatch};
use crate::io::scheduling::{ReadScheduler, Shared};
use crate::report::ReadFailure;

/// Length of the trailer.
pub(crate) const LENGTH: u64 = 32;
/// What one read fetches: large enough for a disk, small enough to stay in the processor's cache until it is hashed. A
/// second thread that reads ahead wins nothing: bytes out of another core's cache take longer than to copy them.
const PIECE: u64 = 128 << 10;

/// How far ahead a slow disk is told what will be wanted, and in what steps: with one request at a time it is idle in
/// between.
const AHEAD: u64 = 32 << 20;
const STEP: u64 = 2 << 20;

/// The sums of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) whole: [u8; 32],
    /// The last 32 bytes are the sum of those before them.
    pub(crate) matches: bool,
}

/// Reads the file and tells `shared` how far it has come.
///
/// # Errors
/// Reading failed or was stopped.
pub(crate) fn sum<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    shared: &Shared,
    scheduler: ReadScheduler<'_>,
) -> Result<Sums, ReadFailure> {
    let result = read(source, size, shared, scheduler);
    // Whoever waits for this thread need not any more.
    shared.passed(u64::MAX);
    result
}

fn read<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    shared: &Shared,
    mut scheduler: ReadScheduler<'_>,
) -> Result<Sums, ReadFailure> {
    let body = size.saturating_sub(LENGTH);
    let mut batch = ReadBatch::default();
    let mut hash = Sha256::new();
    let mut offset = 0;
    let mut announced = 0;
    while offset < body {
        batch.extents = vec![Extent { offset, length: PIECE.min(body - offset) }];
        batch.read(source, &mut scheduler)?;
        let bytes = batch.bytes(0);
        offset += bytes.len() as u64;
        shared.passed(offset);
        hash.update(bytes);
        while scheduler.is_slow() && announced < body.min(offset + AHEAD) {
            let next = announced.max(offset);
            source.advise_willneed(next, STEP);
            announced = next + STEP;
        }
    }
    let mut tail = [0; LENGTH as usize];
    let tail = &mut tail[..usize::try_from(size - body).unwrap_or_default()];
    source.read_exact_at(tail, body)?;
    let matches = hash.clone().finalize().as_slice() == tail;
    hash.update(&*tail);
    Ok(Sums { whole: hash.finalize().into(), matches })
}
