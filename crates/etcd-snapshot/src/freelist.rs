//! The free list, where there is one: etcd on Linux does not write it, on other systems and in older files it is there.
//!
//! Rules: bbolt `tx_check.go` (a page is either reachable or free, never both or neither), `internal/common/page.go`
//! (`FreelistPageIds`: 65535 in the header means that the number of entries is the first entry).

use crate::bytes::{Bitmap, le_u64};
use crate::cursor::walk::WalkState;
use crate::io::read_at::ReadAt;
use crate::page::layout::{HEADER, Page, PageKind};
use crate::page::reader::{PageError, PageReader};
use crate::report::Problem;

const CONTRADICTION: &str = "the free list and the pages are of different states of the database: the file was changed \
                             after it was written, or a write was lost";

/// Compares the free list at page `id` with the pages that were reached.
///
/// # Errors
/// The list is damaged, or it contradicts the pages.
pub(crate) fn check<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    id: u64,
    found: &mut WalkState,
) -> Result<(), PageError> {
    let (pages, page_size) = (reader.pages(), reader.page_size());
    let (page, kind, extent) = reader.page(id, None::<std::iter::Empty<u64>>)?;
    if kind != PageKind::Freelist {
        return Err(page.problem(0, format!("page {id} should be the free list and is none")).into());
    }
    let free = read(&page, pages)?;
    found.reach(id, extent, page_size)?;
    let problem = |page: u64, what: String| Problem {
        what,
        offset: Some(page.saturating_mul(page_size)),
        hint: CONTRADICTION.to_owned(),
    };
    for page in 2..pages {
        match (found.reached.get(page), free.get(page)) {
            (true, true) => return Err(problem(page, format!("page {page} is in use and in the free list")).into()),
            (false, false) => {
                return Err(problem(page, format!("page {page} is neither in use nor in the free list")).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The pages in the list.
fn read(page: &Page<'_>, pages: u64) -> Result<Bitmap, Problem> {
    let entry = |index: u64| {
        let at = usize::try_from(index).ok()?.checked_mul(8)?.checked_add(HEADER)?;
        le_u64(page.bytes, at)
    };
    let (first, count) = match page.count {
        0xffff => (1, entry(0).unwrap_or(u64::MAX)),
        count => (0, count as u64),
    };
    if count > pages {
        return Err(page.problem(0, format!("the free list on page {} is longer than the database", page.id)));
    }
    let mut free = Bitmap::default();
    for index in first..first + count {
        let Some(id) = entry(index) else {
            return Err(page.problem(0, format!("the free list reaches beyond page {}", page.id)));
        };
        if !(2..pages).contains(&id) || !free.set(id) {
            let at = HEADER + usize::try_from(index).unwrap_or_default() * 8;
            return Err(page.problem(at, format!("the free list names page {id}, which is no page or there already")));
        }
    }
    Ok(free)
}
