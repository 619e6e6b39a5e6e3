//! The sha-256 of the whole file and of all but its last 32 bytes, in one pass from the beginning to the end.

use sha2::{Digest, Sha256};

use super::pace::{Pace, Shared};
use super::report::Failure;
use super::source::Source;

/// Length of the trailer.
pub(super) const LENGTH: u64 = 32;
/// What one read fetches: large enough for a disk, small enough to stay in the processor's cache until it is hashed.
const PIECE: usize = 256 << 10;

/// The sums of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) whole: [u8; 32],
    /// The last 32 bytes are the sum of those before them.
    pub(super) matches: bool,
}

/// Reads the file and tells `shared` how far it has come.
///
/// # Errors
/// Reading failed or was stopped.
pub(super) fn sum<S: Source + ?Sized>(
    source: &S,
    size: u64,
    shared: &Shared,
    mut pace: Pace<'_>,
) -> Result<Sums, Failure> {
    let result = read(source, size, shared, &mut pace);
    // Whoever waits for this thread need not any more.
    shared.passed(u64::MAX);
    result
}

fn read<S: Source + ?Sized>(source: &S, size: u64, shared: &Shared, pace: &mut Pace<'_>) -> Result<Sums, Failure> {
    let body = size.saturating_sub(LENGTH);
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < body {
        let length = (body - offset).min(PIECE as u64);
        let piece = &mut buffer[..usize::try_from(length).unwrap_or(PIECE)];
        source.read_exact_at(piece, offset)?;
        offset += length;
        shared.passed(offset);
        hash.update(&*piece);
        pace.after(length)?;
    }
    let tail = &mut buffer[..usize::try_from(size - body).unwrap_or_default()];
    source.read_exact_at(tail, body)?;
    let matches = hash.clone().finalize().as_slice() == tail;
    hash.update(&*tail);
    Ok(Sums { whole: hash.finalize().into(), matches })
}
