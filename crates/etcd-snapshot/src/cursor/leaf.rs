//! The leaves of a tree: each element is checked before it is handed on.
//!
//! Rules: bbolt `tx_check.go`: keys on a page increase, and those below a branch's element are not below that element's
//! key and below the next one's.

use crate::cursor::branch::{Branch, Child};
use crate::io::read_at::ReadAt;
use crate::page::layout::{LeafElement, Page, PageKind};
use crate::page::reader::{PageError, PageReader};
use crate::report::Problem;

/// Takes what a walk finds, in the order of the keys.
pub(crate) trait TreeVisitor {
    /// A page of the tree, with its overflow.
    ///
    /// # Errors
    /// It was reached before.
    fn page(&mut self, id: u64, extent: u64) -> Result<(), Problem>;

    /// An element of the leaf that was reached last.
    ///
    /// # Errors
    /// It is none that belongs there; the rest of its leaf is left out.
    fn leaf(&mut self, leaf: &LeafElement<'_>) -> Result<(), Problem>;
}

/// Visits one child of a branch whose children are leaves.
///
/// # Errors
/// What is wrong with it, or why it cannot be read.
pub(crate) fn leaf<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    parent: &Branch,
    index: usize,
    visitor: &mut impl TreeVisitor,
) -> Result<(), PageError> {
    let Some(Child { id, least, below }) = parent.child(index) else { return Ok(()) };
    let page_size = reader.page_size();
    let (page, kind, extent) = reader.page(id, Some(parent.following(index)))?;
    visitor.page(id, extent)?;
    // All leaves of such a tree are as deep as the others (bbolt node.go: a split adds a root, and a merge takes from a
    // sibling).
    if kind != PageKind::LeafElement {
        return Err(page.misplaced(kind).into());
    }
    // Only a bucket without any key has an empty leaf, as its root; a child's least key is not empty.
    if page.count == 0 && !least.is_empty() {
        return Err(page.problem(0, format!("page {id} is a leaf without elements")).into());
    }
    let mut order = KeyOrderCheck::new(least, below);
    let mut end = page.data();
    for leaf in page.leaves() {
        let leaf = leaf?;
        order.check(leaf.key, &page)?;
        visitor.leaf(&leaf)?;
        end += leaf.key.len() + leaf.value.len();
    }
    page.check_extent(end, page_size)?;
    Ok(())
}

/// Keys increase on a page and stay within what its parent says.
pub(crate) struct KeyOrderCheck<'a> {
    last: &'a [u8],
    first: bool,
    below: Option<&'a [u8]>,
}

impl<'a> KeyOrderCheck<'a> {
    pub(crate) fn new(least: &'a [u8], below: Option<&'a [u8]>) -> Self {
        KeyOrderCheck { last: least, first: true, below }
    }

    /// The next key.
    pub(crate) fn check(&mut self, key: &'a [u8], page: &Page<'_>) -> Result<(), Problem> {
        let above = if self.first { key >= self.last } else { key > self.last };
        self.first = false;
        self.last = key;
        if above && self.below.is_none_or(|below| key < below) {
            return Ok(());
        }
        let what = if above {
            format!("page {} has a key that belongs on a later page", page.id)
        } else {
            format!("the keys of page {} are not in order", page.id)
        };
        Err(Problem {
            what,
            offset: Some(page.offset),
            hint: "the page was changed, or it is an older or another page than the one that belongs here".to_owned(),
        })
    }
}
