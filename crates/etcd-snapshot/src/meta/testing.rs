//! Meta pages as bbolt writes them, for tests.

use super::{CHECKED_SIZE, MAGIC, META_SIZE, NO_FREELIST, VERSION, fnv1a};
use crate::page::{META_PAGE, PAGE_HEADER_SIZE};

/// A meta page of a database with 5 pages and without a free list.
pub(crate) fn meta_page(id: u64, page_size: u32, txid: u64) -> Vec<u8> {
    let mut meta = Vec::new();
    meta.extend([MAGIC, VERSION, page_size, 0].map(u32::to_le_bytes).concat());
    meta.extend([3, 0, NO_FREELIST, 5, txid].map(u64::to_le_bytes).concat());
    meta.extend([0; 8]);
    let header = [&id.to_le_bytes()[..], &META_PAGE.to_le_bytes(), &[0; 6]].concat();
    let mut page = [header, meta].concat();
    page.resize(page_size as usize, 0);
    correct_checksum(&mut page);
    page
}

/// Corrects the checksum of a meta page that was changed.
pub(crate) fn correct_checksum(page: &mut [u8]) {
    let sum = fnv1a(&page[PAGE_HEADER_SIZE..][..CHECKED_SIZE]);
    page[PAGE_HEADER_SIZE + CHECKED_SIZE..META_SIZE].copy_from_slice(&sum.to_le_bytes());
}
