//! One tree of pages, from its root to its last leaf, in the order of the keys.
//!
//! Rules: bbolt `tx_check.go`: each page is reached once and lies below the high-water mark, keys on a page increase,
//! and the keys below a branch's element are not below that element's key and below the next one's. The stack is our
//! own, and as deep as a tree can sensibly be: nothing in the file decides how much of the machine's is used.

use super::MAX_PROBLEMS;
use super::bytes::Bits;
use super::page::{Header, Kind, Leaf, Page};
use super::reader::{Reader, Trouble};
use super::report::{Failure, Problem};
use super::source::Source;

/// With two children at each branch, 32 levels would hold more pages than the largest file has.
const MAX_DEPTH: usize = 32;
/// A branch holds keys only. bbolt puts no more than four of the largest keys on one, and those have 32 KiB.
const MAX_BRANCH: usize = 1 << 20;

/// Where a bucket begins.
#[derive(Debug, Clone)]
pub(super) enum Root {
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
pub(super) struct Found {
    pub(super) reached: Bits,
    pub(super) problems: Vec<Problem>,
}

impl Found {
    /// There is no use in looking further.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Notes page `id` with its overflow.
    pub(super) fn reach(&mut self, id: u64, extent: u64, page_size: u64) -> Result<(), Problem> {
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
}

/// A branch on the way down: its children, each with its least key.
#[derive(Debug)]
struct Frame {
    children: Vec<(Vec<u8>, u64)>,
    next: usize,
    /// All keys below this branch are below this one.
    below: Option<Vec<u8>>,
}

/// Hands every element below `root` to `visit`, in order. What `visit` finds wrong ends its leaf, not the walk.
///
/// # Errors
/// Reading failed or was stopped; whatever is wrong with the file is in `found`.
pub(super) fn walk<S: Source + ?Sized>(
    reader: &mut Reader<'_, S>,
    root: &Root,
    found: &mut Found,
    visit: &mut dyn FnMut(&Leaf<'_>) -> Result<(), Problem>,
) -> Result<(), Failure> {
    let top = match root {
        Root::Page(id) => *id,
        Root::Inline { bytes, offset, page } => {
            if let Err(problem) = inline(bytes, *offset, *page, visit) {
                found.problems.push(problem);
            }
            return Ok(());
        }
    };
    let mut stack = vec![Frame { children: vec![(Vec::new(), top)], next: 0, below: None }];
    let mut leaf_depth = 0;
    while let Some(frame) = stack.last_mut() {
        if frame.next == frame.children.len() || found.is_full() {
            stack.pop();
            continue;
        }
        let index = frame.next;
        frame.next += 1;
        let depth = stack.len();
        let Some(frame) = stack.last() else { break };
        match enter(reader, frame, index, (depth, &mut leaf_depth), found, visit) {
            Ok(None) => {}
            Ok(Some(frame)) => stack.push(frame),
            Err(Trouble::Bad(problem)) => found.problems.push(problem),
            Err(Trouble::Failed(failure)) => return Err(failure),
        }
    }
    Ok(())
}

/// Looks at one child of a branch: a leaf is visited, a branch comes back.
fn enter<S: Source + ?Sized>(
    reader: &mut Reader<'_, S>,
    parent: &Frame,
    index: usize,
    (depth, leaf_depth): (usize, &mut usize),
    found: &mut Found,
    visit: &mut dyn FnMut(&Leaf<'_>) -> Result<(), Problem>,
) -> Result<Option<Frame>, Trouble> {
    let Some((least, id)) = parent.children.get(index) else { return Ok(None) };
    let below = parent.children.get(index + 1).map(|(key, _)| key).or(parent.below.as_ref());
    let leaves = depth == *leaf_depth;
    let page_size = reader.page_size();
    let following = parent.children.iter().skip(index + 1).map(|(_, id)| *id);
    let (page, kind, extent) = reader.page(*id, leaves.then_some(following))?;
    found.reach(*id, extent, page_size)?;
    let frame = match kind {
        Kind::Leaf => {
            *leaf_depth = depth;
            let mut order = Order::new(least, below);
            if page.count == 0 && depth > 1 {
                return Err(page.problem(0, format!("page {id} is a leaf without elements")).into());
            }
            let mut end = page.data();
            for leaf in page.leaves() {
                let leaf = leaf?;
                order.check(leaf.key, &page)?;
                visit(&leaf)?;
                order.last = leaf.key;
                end += leaf.key.len() + leaf.value.len();
            }
            page.check_extent(end, page_size)?;
            None
        }
        Kind::Branch => {
            if depth >= MAX_DEPTH || page.bytes.len() > MAX_BRANCH || page.count == 0 {
                return Err(page.problem(0, format!("page {id} is a branch that no tree has here")).into());
            }
            let mut order = Order::new(least, below);
            let mut children = Vec::with_capacity(page.count);
            let mut end = page.data();
            for branch in page.branches() {
                let (key, child) = branch?;
                order.check(key, &page)?;
                order.last = key;
                end += key.len();
                children.push((key.to_vec(), child));
            }
            page.check_extent(end, page_size)?;
            Some(Frame { children, next: 0, below: below.cloned() })
        }
        Kind::Freelist => {
            return Err(page.problem(0, format!("page {id} is a free list in the midst of a tree")).into());
        }
    };
    Ok(frame)
}

/// An inline bucket: the leaf page without a page.
fn inline(
    bytes: &[u8],
    offset: u64,
    id: u64,
    visit: &mut dyn FnMut(&Leaf<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let header = Header::parse(bytes);
    let count = header.map(|header| usize::from(header.count)).unwrap_or_default();
    let page = Page { id, offset, bytes, count };
    // An inline page never had a number (bbolt bucket.go, write).
    if header.is_none_or(|header| header.id != 0 || header.overflow != 0 || !header.is_leaf()) {
        return Err(page.problem(0, format!("a bucket that lies on page {id} itself has a wrong header")));
    }
    let mut order = Order::new(&[], None);
    let mut end = page.data();
    for leaf in page.leaves() {
        let leaf = leaf?;
        order.check(leaf.key, &page)?;
        visit(&leaf)?;
        order.last = leaf.key;
        end += leaf.key.len() + leaf.value.len();
    }
    if end != bytes.len() {
        return Err(page.problem(0, format!("a bucket that lies on page {id} itself is longer than its elements")));
    }
    Ok(())
}

/// Keys increase on a page and stay within what its parent says.
struct Order<'a> {
    last: &'a [u8],
    first: bool,
    below: Option<&'a Vec<u8>>,
}

impl<'a> Order<'a> {
    fn new(least: &'a [u8], below: Option<&'a Vec<u8>>) -> Self {
        Order { last: least, first: true, below }
    }

    fn check(&mut self, key: &[u8], page: &Page<'_>) -> Result<(), Problem> {
        let above = if self.first { key >= self.last } else { key > self.last };
        self.first = false;
        if above && self.below.is_none_or(|below| key < below.as_slice()) {
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
