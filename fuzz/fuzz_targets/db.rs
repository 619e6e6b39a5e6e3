//! Any bytes as a database: nothing may panic, hang, or use memory out of proportion.
//!
//! The checksums of the meta pages, which a mutation cannot get right by chance, are corrected, so that changes inside
//! the database are reached.
#![no_main]

use etcd_snapshot::{HashPoint, Options, ParallelWalk, Trailer};
use libfuzzer_sys::fuzz_target;

/// The page header and the checked bytes of a meta page.
const META: usize = 16 + 56;

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn correct_checksums(bytes: &mut [u8]) {
    let size = bytes.get(24..28).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
    for at in [0, size.unwrap_or_default() as usize] {
        if let Some(meta) = bytes.get_mut(at..).and_then(|page| page.get_mut(..META + 8)) {
            let sum = fnv1a(&meta[16..META]);
            meta[META..].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes, true);
    let mut corrected = bytes.to_vec();
    correct_checksums(&mut corrected);
    check(&corrected, false);
});

fn check(bytes: &[u8], checksum: bool) {
    // Two threads, though the files are small.
    let parallel = ParallelWalk { min_pages: 4, segment_leaves: 8 };
    let options = Options { checksum, revisions: vec![3, 7], parallel, ..Options::default() };
    let report = etcd_snapshot::check(bytes, &options).expect("memory can be read");
    assert_eq!(report.is_good(), report.is_sound() && report.problems.is_empty());
    assert!(report.is_sound() || !report.problems.is_empty(), "a file that is not sound has a problem");
    assert!(report.trailer != Trailer::Matches || bytes.len() > 32);
    let Some(contents) = report.contents else { return };
    let compact_revision = contents.compact_revision();
    let points = [contents.revision, 7, 5].map(|revision| HashPoint { revision, compact_revision });
    let first = etcd_snapshot::hash_kv(bytes, &contents, &points, &|_| true).expect("the file is still sound");
    let second = etcd_snapshot::hash_kv(bytes, &contents, &points, &|_| true).expect("the file is still sound");
    assert_eq!(first, second);
}
