//! The branches of a tree: which leaves it has, in the order of the keys.
//!
//! The way down is a stack of our own, and as deep as a tree can sensibly be: nothing in the file decides how much of
//! the machine's is used.

use crate::cursor::leaf::{KeyOrderCheck, TreeVisitor};
use crate::io::read_at::ReadAt;
use crate::page::layout::PageKind;
use crate::page::reader::{PageError, PageReader};

/// With two children at each branch, 32 levels would hold more pages than the largest file has.
const MAX_DEPTH: usize = 32;
/// A branch holds keys only. bbolt puts no more than four of the largest keys on one, and those have 32 KiB.
const MAX_BRANCH: usize = 1 << 20;

/// A branch: its children, each with its least key.
#[derive(Debug)]
pub(crate) struct Branch {
    children: Vec<(Vec<u8>, u64)>,
    next: usize,
    /// All keys below this branch are below this one.
    below: Option<Vec<u8>>,
}

impl Branch {
    /// How many children it has.
    pub(crate) fn children(&self) -> usize {
        self.children.len()
    }

    /// One of them.
    pub(crate) fn child(&self, index: usize) -> Option<Child<'_>> {
        let (least, id) = self.children.get(index)?;
        let below = self.children.get(index + 1).map(|(key, _)| key).or(self.below.as_ref());
        Some(Child { id: *id, least, below: below.map(Vec::as_slice) })
    }

    /// The pages of the children behind that one.
    pub(crate) fn following(&self, index: usize) -> impl Iterator<Item = u64> {
        self.children.iter().skip(index + 1).map(|(_, id)| *id)
    }
}

/// What a branch says of one of its children.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child<'a> {
    /// Its page.
    pub(crate) id: u64,
    /// No key below it is below this one; empty for a root.
    pub(crate) least: &'a [u8],
    /// All keys below it are below this one.
    pub(crate) below: Option<&'a [u8]>,
}

/// The way down to the branches whose children are leaves.
#[derive(Debug, Default)]
pub(crate) struct BranchCursor {
    stack: Vec<Branch>,
    /// How many levels of pages the tree has.
    levels: usize,
}

impl BranchCursor {
    /// Starts at page `top`. How deep the leaves are is seen at the first one: the others are as deep.
    ///
    /// # Errors
    /// There is no way to the first leaf; then there are no branches.
    pub(crate) fn begin<S: ReadAt + ?Sized>(
        &mut self,
        reader: &mut PageReader<'_, S>,
        top: u64,
    ) -> Result<(), PageError> {
        let mut id = top;
        self.levels = 1;
        loop {
            let (page, kind, _) = reader.page(id, None::<std::iter::Empty<u64>>)?;
            if kind != PageKind::Branch {
                break;
            }
            match page.branches().next() {
                Some(child) if self.levels < MAX_DEPTH => (_, id) = child?,
                _ => return Err(page.misplaced(kind).into()),
            }
            self.levels += 1;
        }
        self.stack.push(Branch { children: vec![(Vec::new(), top)], next: 0, below: None });
        Ok(())
    }

    /// The next branch whose children are leaves; `visitor` hears of the pages on the way.
    ///
    /// # Errors
    /// What is wrong with a page, or why it cannot be read. The way goes on behind that page.
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
                    let branch = enter(reader, child, visitor)?;
                    self.stack.push(branch);
                }
                None => drop(self.stack.pop()),
            }
        }
        Ok(None)
    }
}

/// Reads a branch.
fn enter<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    child: Child<'_>,
    visitor: &mut impl TreeVisitor,
) -> Result<Branch, PageError> {
    let Child { id, least, below } = child;
    let page_size = reader.page_size();
    let (page, kind, extent) = reader.page(id, None::<std::iter::Empty<u64>>)?;
    visitor.page(id, extent)?;
    if kind != PageKind::Branch || page.bytes.len() > MAX_BRANCH || page.count == 0 {
        return Err(page.misplaced(kind).into());
    }
    let mut order = KeyOrderCheck::new(least, below);
    let mut children = Vec::with_capacity(page.count);
    let mut end = page.data();
    for branch in page.branches() {
        let (key, child) = branch?;
        order.check(key, &page)?;
        end += key.len();
        children.push((key.to_vec(), child));
    }
    page.check_extent(end, page_size)?;
    Ok(Branch { children, next: 0, below: below.map(<[u8]>::to_vec) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::leaf::leaf;
    use crate::io::scheduling::{ReadScheduler, Shared};
    use crate::page::layout::LeafElement;
    use crate::report::Problem;

    const SIZE: usize = 1024;

    /// A page of bbolt's: a branch has the pages of its children, a leaf none.
    fn page(id: u64, elements: &[(&[u8], Option<u64>)]) -> Vec<u8> {
        let is_branch = elements.iter().any(|(_, child)| child.is_some());
        let mut page = id.to_le_bytes().to_vec();
        page.extend(if is_branch { 1_u16 } else { 2 }.to_le_bytes());
        page.extend((elements.len() as u16).to_le_bytes());
        page.extend([0; 4]);
        let mut data = 16 * elements.len();
        for (index, (key, child)) in elements.iter().enumerate() {
            let (pos, length) = ((data - 16 * index) as u32, key.len() as u32);
            match child {
                Some(child) => [&pos.to_le_bytes()[..], &length.to_le_bytes(), &child.to_le_bytes()].concat(),
                None => [&[0; 4][..], &pos.to_le_bytes(), &length.to_le_bytes(), &[0; 4]].concat(),
            }
            .iter()
            .for_each(|byte| page.push(*byte));
            data += key.len();
        }
        elements.iter().for_each(|(key, _)| page.extend_from_slice(key));
        page.resize(SIZE, 0);
        page
    }

    #[derive(Default)]
    struct Seen {
        pages: Vec<u64>,
        keys: Vec<Vec<u8>>,
    }

    impl TreeVisitor for Seen {
        fn page(&mut self, id: u64, _: u64) -> Result<(), Problem> {
            self.pages.push(id);
            Ok(())
        }

        fn leaf(&mut self, leaf: &LeafElement<'_>) -> Result<(), Problem> {
            self.keys.push(leaf.key.to_vec());
            Ok(())
        }
    }

    /// Walks the tree below page 2: what was seen, and what was wrong.
    fn walk(pages: &[Vec<u8>]) -> (Seen, Vec<String>) {
        let file = [vec![0; 2 * SIZE], pages.concat()].concat();
        let shared = Shared::new(false);
        let count = (file.len() / SIZE) as u64;
        let mut reader = PageReader::new(file.as_slice(), SIZE as u64, count, ReadScheduler::new(&shared, &|_| true));
        let (mut seen, mut problems) = (Seen::default(), Vec::new());
        let mut bad = |error| match error {
            PageError::Corrupt(problem) => problems.push(problem.what),
            PageError::Io(failure) => panic!("{failure}"),
        };
        let mut branches = BranchCursor::default();
        branches.begin(&mut reader, 2).unwrap_or_else(&mut bad);
        loop {
            match branches.next(&mut reader, &mut seen) {
                Ok(None) => break,
                Ok(Some(branch)) => (0..branch.children())
                    .for_each(|index| leaf(&mut reader, &branch, index, &mut seen).unwrap_or_else(&mut bad)),
                Err(error) => bad(error),
            }
        }
        (seen, problems)
    }

    #[test]
    fn leaves_come_in_the_order_of_their_keys_wherever_they_lie() {
        let (seen, problems) = walk(&[
            page(2, &[(b"a", Some(6)), (b"m", Some(3))]),
            page(3, &[(b"m", Some(4))]),
            page(4, &[(b"m", None), (b"n", None)]),
            page(5, &[(b"a", None)]),
            page(6, &[(b"a", Some(5)), (b"f", Some(7))]),
            page(7, &[(b"f", None)]),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(seen.keys, [b"a", b"f", b"m", b"n"]);
        assert_eq!(seen.pages, [2, 6, 5, 7, 3, 4]);
    }

    #[test]
    fn leaves_are_all_as_deep_as_the_first_one() {
        let (_, problems) = walk(&[
            page(2, &[(b"a", Some(3)), (b"m", Some(5))]),
            page(3, &[(b"a", Some(4))]),
            page(4, &[(b"a", None)]),
            page(5, &[(b"m", None)]),
        ]);
        assert_eq!(problems, ["page 5 is a leaf where others have branches"]);
        let (_, problems) = walk(&[
            page(2, &[(b"a", Some(3)), (b"m", Some(4))]),
            page(3, &[(b"a", None)]),
            page(4, &[(b"m", Some(5))]),
            page(5, &[(b"m", None)]),
        ]);
        assert_eq!(problems, ["page 4 is a branch that no tree has here"]);
    }

    #[test]
    fn a_branch_below_itself_has_no_leaves() {
        let (seen, problems) = walk(&[page(2, &[(b"a", Some(2))])]);
        assert_eq!(problems, ["page 2 is a branch that no tree has here"]);
        assert!(seen.pages.is_empty());
    }
}
