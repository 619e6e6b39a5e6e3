//! What is done with the pages and elements of a tree, and the order in which its keys must come.

use crate::error::Problem;
use crate::page::{LeafElement, Page};

/// Takes the pages and elements of a tree in the order of the keys.
pub(crate) trait TreeVisitor {
    /// Takes a page: its number, and how many pages it is with its overflow pages.
    ///
    /// # Errors
    /// The page is already part of the database.
    fn page(&mut self, id: u64, pages: u64) -> Result<(), Problem>;

    /// Takes an element of the last leaf page.
    ///
    /// # Errors
    /// The element does not belong there. The rest of its page is skipped.
    fn element(&mut self, element: &LeafElement<'_>) -> Result<(), Problem>;
}

/// Checks that the keys of a page increase and stay within the range that the parent gives, as bbolt `tx_check.go` does.
pub(crate) struct KeyOrderCheck<'a> {
    last: &'a [u8],
    is_first: bool,
    below: Option<&'a [u8]>,
}

impl<'a> KeyOrderCheck<'a> {
    /// Creates the check of a page whose first key is at least `least` and whose keys are all below `below`.
    pub(crate) fn new(least: &'a [u8], below: Option<&'a [u8]>) -> Self {
        KeyOrderCheck { last: least, is_first: true, below }
    }

    /// Checks the next key.
    pub(crate) fn check(&mut self, key: &'a [u8], page: &Page<'_>) -> Result<(), Problem> {
        let increases = if self.is_first { key >= self.last } else { key > self.last };
        self.is_first = false;
        self.last = key;
        if increases && self.below.is_none_or(|below| key < below) {
            return Ok(());
        }
        let what = if increases {
            format!("page {} has a key that belongs on a later page", page.id)
        } else {
            format!("the keys of page {} are not in order", page.id)
        };
        Err(Problem {
            what,
            offset: Some(page.offset),
            hint: "the page was changed or replaced by another one: take the snapshot again".to_owned(),
        })
    }
}
