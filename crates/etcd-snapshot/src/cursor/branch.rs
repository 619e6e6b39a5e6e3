//! The branch pages of a tree: which leaf pages it has, in the order of the keys.
//!
//! The cursor has a stack of its own with a limited depth, so no file can exhaust the stack of the thread.

use super::visitor::{KeyOrderCheck, TreeVisitor};
use crate::io::ReadAt;
use crate::page::{PageError, PageKind, PageReader};

/// With two children on each branch page, 32 levels hold more pages than the largest file has.
const MAX_DEPTH: usize = 32;
/// A branch page holds keys only. bbolt puts no more than four of the largest keys on one, and those have 32 KiB.
const MAX_BRANCH_SIZE: usize = 1 << 20;

/// A branch page: its children, each with its least key.
#[derive(Debug)]
pub(crate) struct Branch {
    children: Vec<(Vec<u8>, u64)>,
    next: usize,
    /// All keys below this branch page are below this one.
    below: Option<Vec<u8>>,
}

impl Branch {
    /// Returns the number of children.
    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn child(&self, index: usize) -> Option<Child<'_>> {
        let (least, id) = self.children.get(index)?;
        let below = self.children.get(index + 1).map(|(key, _)| key).or(self.below.as_ref());
        Some(Child { id: *id, least, below: below.map(Vec::as_slice) })
    }

    /// Returns the pages of the children behind the one at `index`.
    pub(super) fn following(&self, index: usize) -> impl Iterator<Item = u64> {
        self.children.iter().skip(index + 1).map(|(_, id)| *id)
    }
}

/// What a branch page says about one of its children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child<'a> {
    pub(super) id: u64,
    /// The keys of the child are not below this one. It is empty for a root page.
    pub(super) least: &'a [u8],
    /// The keys of the child are below this one.
    pub(super) below: Option<&'a [u8]>,
}

/// Moves through the branch pages whose children are leaf pages.
#[derive(Debug)]
pub(crate) struct BranchCursor {
    stack: Vec<Branch>,
    /// How many levels of pages the tree has.
    levels: usize,
}

impl BranchCursor {
    /// Starts at the root page `root`. The depth of the first leaf page is the depth of all.
    ///
    /// # Errors
    /// The first leaf page cannot be reached.
    pub(crate) fn new<S: ReadAt + ?Sized>(reader: &mut PageReader<'_, S>, root: u64) -> Result<Self, PageError> {
        let (mut id, mut levels) = (root, 1);
        while let Some(child) = reader.first_child(id)? {
            if levels == MAX_DEPTH {
                return Err(reader.misplaced(id, PageKind::Branch).into());
            }
            (id, levels) = (child, levels + 1);
        }
        let parent = Branch { children: vec![(Vec::new(), root)], next: 0, below: None };
        Ok(BranchCursor { stack: vec![parent], levels })
    }

    /// Returns the next branch page whose children are leaf pages. `visitor` takes the branch pages on the way.
    ///
    /// # Errors
    /// A page is corrupt or cannot be read. The next call continues behind that page.
    pub(crate) fn next<S: ReadAt + ?Sized>(
        &mut self,
        reader: &mut PageReader<'_, S>,
        visitor: &mut impl TreeVisitor,
    ) -> Result<Option<Branch>, PageError> {
        while let Some(branch) = self.stack.last_mut() {
            let index = branch.next;
            branch.next += 1;
            if self.stack.len() == self.levels {
                return Ok(self.stack.pop());
            }
            match self.stack.last().and_then(|branch| branch.child(index)) {
                Some(child) => {
                    let branch = read_branch(reader, child, visitor)?;
                    self.stack.push(branch);
                }
                None => drop(self.stack.pop()),
            }
        }
        Ok(None)
    }
}

fn read_branch<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    child: Child<'_>,
    visitor: &mut impl TreeVisitor,
) -> Result<Branch, PageError> {
    let Child { id, least, below } = child;
    let page_size = reader.page_size();
    let (page, kind, pages) = reader.page(id)?;
    visitor.page(id, pages)?;
    if kind != PageKind::Branch || page.bytes.len() > MAX_BRANCH_SIZE || page.count == 0 {
        return Err(page.misplaced(kind).into());
    }
    let mut order = KeyOrderCheck::new(least, below);
    let mut children = Vec::with_capacity(page.count);
    let mut end = page.data_start();
    for element in page.branch_elements() {
        let (key, child) = element?;
        order.check(key, &page)?;
        end += key.len();
        children.push((key.to_vec(), child));
    }
    page.check_overflow(end, page_size)?;
    Ok(Branch { children, next: 0, below: below.map(<[u8]>::to_vec) })
}
