//! The sha-256 of the whole file and of all but its last 32 bytes, in one pass from the beginning to the end.

use sha2::{Digest, Sha256};

use crate::error::ReadFailure;
use crate::io::{Extent, ReadAt, ReadBatch, ReadCoordinator, ReadScheduler};

/// The number of bytes that `Maintenance.Snapshot` appends to the database: the sha-256 of the database (etcd
/// `server/etcdserver/api/v3rpc/maintenance.go`).
pub const TRAILER_LENGTH: u64 = 32;

/// The bytes of one read: enough for a disk, and few enough to stay in the processor's cache until they are hashed. A
/// thread that reads ahead saves nothing: fetching bytes from another core's cache takes longer than copying them.
const READ_SIZE: u64 = 128 << 10;

/// How far ahead, and in what steps, a slow disk is told what will be read. With one request at a time it is idle in
/// between.
const ADVISE_AHEAD: u64 = 32 << 20;
const ADVISE_STEP: u64 = 2 << 20;

/// The result of hashing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileDigest {
    /// The sha-256 of the whole file.
    pub(crate) sha256: [u8; 32],
    /// The last 32 bytes are the sha-256 of the bytes before them.
    pub(crate) trailer_matches: bool,
}

/// Tells the other threads, however this one ends, that they need not wait for it.
struct FinishOnDrop<'a>(&'a ReadCoordinator);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish_sequential();
    }
}

/// Hashes the first `size` bytes of a file, and tells `coordinator` how far it has read.
///
/// # Errors
/// Reading failed or was cancelled.
pub(crate) fn hash_file<S: ReadAt + ?Sized>(
    source: &S,
    size: u64,
    coordinator: &ReadCoordinator,
    mut scheduler: ReadScheduler<'_>,
) -> Result<FileDigest, ReadFailure> {
    let _finish = FinishOnDrop(coordinator);
    let body = size.saturating_sub(TRAILER_LENGTH);
    let mut batch = ReadBatch::default();
    let mut hasher = Sha256::new();
    let mut offset = 0;
    let mut advised = 0;
    while offset < body {
        batch.extents = vec![Extent { offset, length: READ_SIZE.min(body - offset) }];
        batch.read(source, &mut scheduler)?;
        let bytes = batch.bytes(0);
        offset += bytes.len() as u64;
        coordinator.advance(offset);
        hasher.update(bytes);
        while scheduler.is_slow() && advised < body.min(offset + ADVISE_AHEAD) {
            let next = advised.max(offset);
            source.advise_willneed(next, ADVISE_STEP);
            advised = next + ADVISE_STEP;
        }
    }
    let mut trailer = [0; TRAILER_LENGTH as usize];
    let trailer = &mut trailer[..usize::try_from(size - body).unwrap_or_default()];
    source.read_exact_at(trailer, body)?;
    let trailer_matches = hasher.clone().finalize().as_slice() == trailer;
    hasher.update(&*trailer);
    Ok(FileDigest { sha256: hasher.finalize().into(), trailer_matches })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> FileDigest {
        let coordinator = ReadCoordinator::new(true);
        let scheduler = ReadScheduler::new(&coordinator, &|_| true).sequential();
        hash_file(bytes, bytes.len() as u64, &coordinator, scheduler).expect("memory can be read")
    }

    #[test]
    fn the_trailer_is_the_sum_of_the_bytes_before_it() {
        for length in [0, 1, 4096, READ_SIZE as usize - 1, READ_SIZE as usize + 1] {
            let mut file = vec![7; length];
            file.extend_from_slice(&Sha256::digest(&file));
            let expected = FileDigest { sha256: Sha256::digest(&file).into(), trailer_matches: true };
            assert_eq!(digest(&file), expected, "{length}");
            let last = file.len() - 1;
            file[last] ^= 1;
            assert!(!digest(&file).trailer_matches, "{length}");
        }
        assert!(!digest(&[0; 31]).trailer_matches, "too short for a trailer");
    }
}
