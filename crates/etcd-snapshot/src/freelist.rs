//! The free list. etcd on Linux does not write it. On other systems and in older files it is there.
//!
//! Layout: bbolt `internal/common/page.go` (`FreelistPageIds`: a count of 65535 in the page header means that the first
//! entry is the count).

use crate::bitmap::Bitmap;
use crate::bytes::le_u64;
use crate::error::Problem;
use crate::io::ReadAt;
use crate::page::{PAGE_HEADER_SIZE, Page, PageError, PageKind, PageReader};

/// The free pages.
#[derive(Debug)]
pub(crate) struct Freelist {
    pub(crate) free: Bitmap,
    /// How many pages the list itself takes.
    pub(crate) pages: u64,
}

impl Freelist {
    /// Reads the free list at page `id`.
    pub(crate) fn read<S: ReadAt + ?Sized>(reader: &mut PageReader<'_, S>, id: u64) -> Result<Self, PageError> {
        let high_water_mark = reader.high_water_mark();
        let (page, kind, pages) = reader.page(id)?;
        if kind != PageKind::Freelist {
            return Err(page.problem(0, format!("page {id} should be the free list and is not")).into());
        }
        Ok(Freelist { free: entries(&page, high_water_mark)?, pages })
    }
}

fn entries(page: &Page<'_>, high_water_mark: u64) -> Result<Bitmap, Problem> {
    let entry = |index: u64| {
        let at = usize::try_from(index).ok()?.checked_mul(8)?.checked_add(PAGE_HEADER_SIZE)?;
        le_u64(page.bytes, at)
    };
    let (first, count) = match page.count {
        0xffff => (1, entry(0).unwrap_or(u64::MAX)),
        count => (0, count as u64),
    };
    if count > high_water_mark {
        return Err(page.problem(0, format!("the free list on page {} is longer than the database", page.id)));
    }
    let mut free = Bitmap::default();
    for index in first..first + count {
        let Some(id) = entry(index) else {
            return Err(page.problem(0, format!("the free list extends beyond page {}", page.id)));
        };
        let at = PAGE_HEADER_SIZE + usize::try_from(index).unwrap_or_default() * 8;
        if !(2..high_water_mark).contains(&id) {
            return Err(page.problem(at, format!("the free list has an entry for page {id}, which does not exist")));
        }
        if !free.set(id) {
            return Err(page.problem(at, format!("the free list has two entries for page {id}")));
        }
    }
    Ok(free)
}
