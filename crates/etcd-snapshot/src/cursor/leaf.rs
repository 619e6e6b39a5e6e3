//! The leaf pages of a tree.

use super::branch::{Branch, Child};
use super::visitor::{KeyOrderCheck, TreeVisitor};
use crate::error::Problem;
use crate::io::ReadAt;
use crate::page::{Page, PageError, PageKind, PageReader};

/// Visits a child of a branch page whose children are leaf pages.
///
/// # Errors
/// The page is corrupt or cannot be read.
pub(crate) fn visit_leaf<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    parent: &Branch,
    index: usize,
    visitor: &mut impl TreeVisitor,
) -> Result<(), PageError> {
    let Some(Child { id, least, below }) = parent.child(index) else { return Ok(()) };
    let page_size = reader.page_size();
    let (page, kind, pages) = reader.leaf_page(id, parent.following(index))?;
    visitor.page(id, pages)?;
    // All leaf pages of a tree have the same depth (bbolt `node.go`: a split adds a root, and a merge takes from a
    // sibling).
    if kind != PageKind::Leaf {
        return Err(page.misplaced(kind).into());
    }
    // Only the root page of a bucket without keys is empty, and the least key of a child is not.
    if page.count == 0 && !least.is_empty() {
        return Err(page.problem(0, format!("page {id} is a leaf page without elements")).into());
    }
    let end = visit_elements(&page, KeyOrderCheck::new(least, below), visitor)?;
    Ok(page.check_overflow(end, page_size)?)
}

/// Visits the elements of a leaf page. Returns where they end.
pub(super) fn visit_elements<'a>(
    page: &Page<'a>,
    mut order: KeyOrderCheck<'a>,
    visitor: &mut impl TreeVisitor,
) -> Result<usize, Problem> {
    let mut end = page.data_start();
    for element in page.leaf_elements() {
        let element = element?;
        order.check(element.key, page)?;
        visitor.element(&element)?;
        end += element.key.len() + element.value.len();
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::branch::BranchCursor;
    use crate::io::{ReadCoordinator, ReadScheduler};
    use crate::page::LeafElement;
    use crate::page::testing::{PAGE_SIZE, branch_page, leaf_page};

    /// A leaf page with empty values.
    fn leaf(id: u64, keys: &[&[u8]]) -> Vec<u8> {
        leaf_page(id, &keys.iter().map(|key| (*key, &b""[..])).collect::<Vec<_>>())
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

        fn element(&mut self, element: &LeafElement<'_>) -> Result<(), Problem> {
            self.keys.push(element.key.to_vec());
            Ok(())
        }
    }

    /// Walks the tree whose root is page 2. Returns what was seen, and what was wrong.
    fn walk(pages: &[Vec<u8>]) -> (Seen, Vec<String>) {
        let file = [vec![0; 2 * PAGE_SIZE], pages.concat()].concat();
        let coordinator = ReadCoordinator::new(false);
        let high_water_mark = (file.len() / PAGE_SIZE) as u64;
        let scheduler = ReadScheduler::new(&coordinator, &|_| true);
        let mut reader = PageReader::new(file.as_slice(), PAGE_SIZE as u64, high_water_mark, scheduler);
        let (mut seen, mut problems) = (Seen::default(), Vec::new());
        let mut record = |error: PageError| problems.push(error.into_problem().expect("memory can be read").what);
        match BranchCursor::new(&mut reader, 2) {
            Err(error) => record(error),
            Ok(mut cursor) => loop {
                match cursor.next(&mut reader, &mut seen) {
                    Ok(None) => break,
                    Ok(Some(branch)) => (0..branch.len()).for_each(|index| {
                        visit_leaf(&mut reader, &branch, index, &mut seen).unwrap_or_else(&mut record);
                    }),
                    Err(error) => record(error),
                }
            },
        }
        (seen, problems)
    }

    #[test]
    fn leaf_pages_come_in_the_order_of_their_keys_in_any_layout() {
        let (seen, problems) = walk(&[
            branch_page(2, &[(b"a", 6), (b"m", 3)]),
            branch_page(3, &[(b"m", 4)]),
            leaf(4, &[b"m", b"n"]),
            leaf(5, &[b"a"]),
            branch_page(6, &[(b"a", 5), (b"f", 7)]),
            leaf(7, &[b"f"]),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(seen.keys, [b"a", b"f", b"m", b"n"]);
        assert_eq!(seen.pages, [2, 6, 5, 7, 3, 4]);
    }

    #[test]
    fn all_leaf_pages_have_the_depth_of_the_first_one() {
        let (_, problems) = walk(&[
            branch_page(2, &[(b"a", 3), (b"m", 5)]),
            branch_page(3, &[(b"a", 4)]),
            leaf(4, &[b"a"]),
            leaf(5, &[b"m"]),
        ]);
        assert_eq!(problems, ["page 5 is a leaf page where a branch page belongs"]);
        let (_, problems) = walk(&[
            branch_page(2, &[(b"a", 3), (b"m", 4)]),
            leaf(3, &[b"a"]),
            branch_page(4, &[(b"m", 5)]),
            leaf(5, &[b"m"]),
        ]);
        assert_eq!(problems, ["page 4 is a branch page that does not belong here"]);
    }

    #[test]
    fn a_branch_page_that_is_its_own_child_is_refused() {
        let (seen, problems) = walk(&[branch_page(2, &[(b"a", 2)])]);
        assert_eq!(problems, ["page 2 is a branch page that does not belong here"]);
        assert!(seen.pages.is_empty());
    }
}
