//! All elements of one bucket, in the order of the keys.
//!
//! Rules: bbolt `tx_check.go`: each page is reached once and is below the high-water mark, and the keys are in order.

use super::branch::BranchCursor;
use super::leaf::{visit_elements, visit_leaf};
use super::visitor::{KeyOrderCheck, TreeVisitor};
use crate::bitmap::Bitmap;
use crate::error::{MAX_PROBLEMS, Problem, ReadFailure};
use crate::io::ReadAt;
use crate::page::{LeafElement, Page, PageError, PageHeader, PageReader};

/// Where a bucket begins.
#[derive(Debug, Clone)]
pub(crate) enum BucketRoot {
    /// At a page of its own.
    Page(u64),
    /// In the value of its element: a small bucket is a leaf page inside another one (bbolt `bucket.go`, `inlineable`).
    Inline {
        bytes: Vec<u8>,
        /// The offset of `bytes` in the file.
        offset: u64,
        /// The page that holds them.
        page: u64,
    },
}

/// Which pages were reached, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct WalkState {
    pub(crate) reached: Bitmap,
    pub(crate) problems: Vec<Problem>,
}

impl WalkState {
    /// Returns `true` if there are enough problems to end the check.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Records that page `id`, which is `pages` pages with its overflow pages, was reached.
    pub(crate) fn reach(&mut self, id: u64, pages: u64, page_size: u64) -> Result<(), Problem> {
        for page in id..id + pages {
            if !self.reached.set(page) {
                return Err(Problem {
                    what: format!("page {page} belongs to two parts of the database at once"),
                    offset: Some(page.saturating_mul(page_size)),
                    hint: "a page was changed or replaced by an older version of it: take the snapshot again"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Records what is wrong with one part of the file.
    ///
    /// # Errors
    /// Reading failed or was cancelled.
    pub(crate) fn record(&mut self, outcome: Result<(), PageError>) -> Result<(), ReadFailure> {
        if let Err(error) = outcome {
            self.problems.push(error.into_problem()?);
        }
        Ok(())
    }
}

/// Calls `visit` with every element of a bucket, in order. A problem that `visit` returns ends its page, not the walk.
///
/// # Errors
/// Reading failed or was cancelled. What is wrong with the file is in `state`.
pub(crate) fn walk_bucket<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    root: &BucketRoot,
    state: &mut WalkState,
    visit: &mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
) -> Result<(), ReadFailure> {
    let mut visitor = BucketVisitor { state, visit, page_size: reader.page_size() };
    match root {
        BucketRoot::Inline { bytes, offset, page } => {
            let outcome = visit_inline(bytes, *offset, *page, &mut visitor);
            visitor.state.record(outcome.map_err(PageError::Corrupt))
        }
        BucketRoot::Page(root) => {
            let mut cursor = match BranchCursor::new(reader, *root) {
                Ok(cursor) => cursor,
                Err(error) => return visitor.state.record(Err(error)),
            };
            while !visitor.state.is_full() {
                match cursor.next(reader, &mut visitor) {
                    Ok(None) => break,
                    Ok(Some(branch)) => {
                        for index in 0..branch.len() {
                            let outcome = visit_leaf(reader, &branch, index, &mut visitor);
                            visitor.state.record(outcome)?;
                            if visitor.state.is_full() {
                                break;
                            }
                        }
                    }
                    Err(error) => visitor.state.record(Err(error))?,
                }
            }
            Ok(())
        }
    }
}

struct BucketVisitor<'a> {
    state: &'a mut WalkState,
    visit: &'a mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
    page_size: u64,
}

impl TreeVisitor for BucketVisitor<'_> {
    fn page(&mut self, id: u64, pages: u64) -> Result<(), Problem> {
        self.state.reach(id, pages, self.page_size)
    }

    fn element(&mut self, element: &LeafElement<'_>) -> Result<(), Problem> {
        (self.visit)(element)
    }
}

/// Visits an inline bucket. Its page has no number of its own.
fn visit_inline(bytes: &[u8], offset: u64, id: u64, visitor: &mut impl TreeVisitor) -> Result<(), Problem> {
    let header = PageHeader::parse(bytes);
    let count = header.map(|header| usize::from(header.count)).unwrap_or_default();
    let page = Page { id, offset, bytes, count };
    // bbolt `bucket.go`, `write`: an inline page never has a number.
    if header.is_none_or(|header| header.id != 0 || header.overflow != 0 || !header.is_leaf()) {
        return Err(page.problem(0, format!("an inline bucket on page {id} has a wrong page header")));
    }
    let end = visit_elements(&page, KeyOrderCheck::new(&[], None), visitor)?;
    if end != bytes.len() {
        return Err(page.problem(0, format!("an inline bucket on page {id} is longer than its elements")));
    }
    Ok(())
}
