//! One tree of pages, from its root to its last leaf, in the order of the keys.
//!
//! Rules: bbolt `tx_check.go`: each page is reached once and lies below the high-water mark; the keys stay in order.

use crate::MAX_PROBLEMS;
use crate::bytes::Bitmap;
use crate::cursor::branch::BranchCursor;
use crate::cursor::leaf::{KeyOrderCheck, TreeVisitor, leaf};
use crate::io::read_at::ReadAt;
use crate::page::layout::{LeafElement, Page, PageHeader};
use crate::page::reader::{PageError, PageReader};
use crate::report::{Problem, ReadFailure};

/// Where a bucket begins.
#[derive(Debug, Clone)]
pub(crate) enum BucketRoot {
    /// At a page of its own.
    Page(u64),
    /// In the value of its own entry: a small bucket is one leaf page without a page.
    Inline {
        /// The page's bytes.
        bytes: Vec<u8>,
        /// Where they are in the file.
        offset: u64,
        /// The page they lie on.
        page: u64,
    },
}

/// What was reached and what was wrong on the way.
#[derive(Debug, Default)]
pub(crate) struct WalkState {
    pub(crate) reached: Bitmap,
    pub(crate) problems: Vec<Problem>,
}

impl WalkState {
    /// There is no use in looking further.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Notes page `id` with its overflow.
    pub(crate) fn reach(&mut self, id: u64, extent: u64, page_size: u64) -> Result<(), Problem> {
        for page in id..id + extent {
            if !self.reached.set(page) {
                return Err(Problem {
                    what: format!("page {page} belongs to two parts of the database at once"),
                    offset: Some(page.saturating_mul(page_size)),
                    hint:
                        "a page that refers to others was changed, or an old copy of a page was written over a new one"
                            .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Notes what was wrong with one part of the file.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(crate) fn note(&mut self, outcome: Result<(), PageError>) -> Result<(), ReadFailure> {
        self.problems.extend(PageError::problem(outcome)?);
        Ok(())
    }
}

/// Hands every element below `root` to `visit`, in order. What `visit` finds wrong ends its leaf, not the walk.
///
/// # Errors
/// Reading failed or was stopped; whatever is wrong with the file is in `found`.
pub(crate) fn walk<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    root: &BucketRoot,
    found: &mut WalkState,
    visit: &mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
) -> Result<(), ReadFailure> {
    match root {
        BucketRoot::Inline { bytes, offset, page } => {
            found.note(inline(bytes, *offset, *page, visit).map_err(PageError::Corrupt))
        }
        BucketRoot::Page(top) => {
            let mut branches = BranchCursor::default();
            found.note(branches.begin(reader, *top))?;
            let mut plain = Plain { found, visit, page_size: reader.page_size() };
            while !plain.found.is_full() {
                match branches.next(reader, &mut plain) {
                    Ok(None) => break,
                    Ok(Some(branch)) => {
                        for index in 0..branch.children() {
                            let outcome = leaf(reader, &branch, index, &mut plain);
                            plain.found.note(outcome)?;
                            if plain.found.is_full() {
                                break;
                            }
                        }
                    }
                    Err(error) => plain.found.note(Err(error))?,
                }
            }
            Ok(())
        }
    }
}

/// Each thing as it comes.
struct Plain<'a> {
    found: &'a mut WalkState,
    visit: &'a mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
    page_size: u64,
}

impl TreeVisitor for Plain<'_> {
    fn page(&mut self, id: u64, extent: u64) -> Result<(), Problem> {
        self.found.reach(id, extent, self.page_size)
    }

    fn leaf(&mut self, leaf: &LeafElement<'_>) -> Result<(), Problem> {
        (self.visit)(leaf)
    }
}

/// An inline bucket: the leaf page without a page.
fn inline(
    bytes: &[u8],
    offset: u64,
    id: u64,
    visit: &mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let header = PageHeader::parse(bytes);
    let count = header.map(|header| usize::from(header.count)).unwrap_or_default();
    let page = Page { id, offset, bytes, count };
    // An inline page never had a number (bbolt bucket.go, write).
    if header.is_none_or(|header| header.id != 0 || header.overflow != 0 || !header.is_leaf()) {
        return Err(page.problem(0, format!("a bucket that lies on page {id} itself has a wrong header")));
    }
    let mut order = KeyOrderCheck::new(&[], None);
    let mut end = page.data();
    for leaf in page.leaves() {
        let leaf = leaf?;
        order.check(leaf.key, &page)?;
        visit(&leaf)?;
        end += leaf.key.len() + leaf.value.len();
    }
    if end != bytes.len() {
        return Err(page.problem(0, format!("a bucket that lies on page {id} itself is longer than its elements")));
    }
    Ok(())
}
