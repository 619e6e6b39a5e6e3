//! One page: its header and its elements, each checked before it is returned.
//!
//! Layout: bbolt `internal/common/page.go` and `inode.go`. A page is a header of 16 bytes, an array of element headers
//! of 16 bytes each, and then the keys and values in the order of the elements. bbolt's writer leaves no gap, so a gap or
//! an overlap means that a header was changed.

use crate::bytes::{le_u16, le_u32, le_u64};
use crate::error::Problem;

pub(crate) const PAGE_HEADER_SIZE: usize = 16;
const ELEMENT_HEADER_SIZE: usize = 16;
/// bbolt `bucket.go`, `MaxKeySize`.
const MAX_KEY_SIZE: usize = 32768;

// bbolt `internal/common/page.go`, the page flags.
const BRANCH_PAGE: u16 = 0x01;
const LEAF_PAGE: u16 = 0x02;
pub(crate) const META_PAGE: u16 = 0x04;
const FREELIST_PAGE: u16 = 0x10;

const OVERWRITTEN: &str =
    "the bytes at this offset were changed or overwritten: check the disk, and take the snapshot again";

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) id: u64,
    pub(crate) flags: u16,
    /// The number of elements.
    pub(crate) count: u16,
    /// The number of pages that follow and belong to this one.
    pub(crate) overflow: u32,
}

/// What a page is for, other than a meta page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    Branch,
    Leaf,
    Freelist,
}

impl PageHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(PageHeader {
            id: le_u64(bytes, 0)?,
            flags: le_u16(bytes, 8)?,
            count: le_u16(bytes, 10)?,
            overflow: le_u32(bytes, 12)?,
        })
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.flags == LEAF_PAGE
    }

    /// Checks that this is the header of page `id`, which begins at `offset`, and returns the kind of the page.
    pub(crate) fn kind(&self, id: u64, offset: u64) -> Result<PageKind, Problem> {
        let problem = |what: String, hint: &str| Problem { what, offset: Some(offset), hint: hint.to_owned() };
        if *self == (PageHeader { id: 0, flags: 0, count: 0, overflow: 0 }) {
            return Err(problem(
                format!("page {id} begins with zeros instead of a page header"),
                "a write never reached the disk, or a copy skipped a part of the file: take the snapshot again",
            ));
        }
        if self.id != id {
            return Err(problem(
                format!("page {id} has the header of page {}", self.id),
                "pages were swapped or written to the wrong offset, or the header was overwritten: take the snapshot again",
            ));
        }
        match self.flags {
            BRANCH_PAGE => Ok(PageKind::Branch),
            LEAF_PAGE => Ok(PageKind::Leaf),
            FREELIST_PAGE => Ok(PageKind::Freelist),
            flags => Err(problem(format!("page {id} has unexpected flags ({flags:#x})"), OVERWRITTEN)),
        }
    }
}

/// A page with its overflow pages, or the leaf page inside an inline bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    /// The number of the page; of an inline bucket, the number of the page that holds the bucket.
    pub(crate) id: u64,
    /// The offset of `bytes` in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) count: usize,
}

/// A key with its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafElement<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The value is a bucket.
    pub(crate) is_bucket: bool,
    /// The offset of the key in the file. The value follows it.
    pub(crate) offset: u64,
    pub(crate) page: u64,
}

impl<'a> Page<'a> {
    /// Returns a problem with the bytes at `at` on this page.
    pub(crate) fn problem(&self, at: usize, what: String) -> Problem {
        Problem { what, offset: Some(self.offset.saturating_add(at as u64)), hint: OVERWRITTEN.to_owned() }
    }

    /// Returns the problem of a page whose kind does not fit its place in the tree.
    pub(crate) fn misplaced(&self, kind: PageKind) -> Problem {
        let what = match kind {
            PageKind::Branch => "branch page that does not belong here",
            PageKind::Leaf => "leaf page where a branch page belongs",
            PageKind::Freelist => "free list page inside a tree",
        };
        self.problem(0, format!("page {} is a {what}", self.id))
    }

    /// Returns where the data of the first element begins.
    pub(crate) fn data_start(&self) -> usize {
        PAGE_HEADER_SIZE + self.count * ELEMENT_HEADER_SIZE
    }

    /// Returns the `length` bytes of data of an element. They must begin at `start`, where the element before ended; `pos`
    /// is what the element's header says.
    fn data(&self, index: usize, pos: u32, start: usize, length: usize) -> Result<&'a [u8], Problem> {
        let header = PAGE_HEADER_SIZE + index * ELEMENT_HEADER_SIZE;
        if header.checked_add(pos as usize) != Some(start) {
            let what = format!("element {index} of page {} does not begin where the element before it ends", self.id);
            return Err(self.problem(header, what));
        }
        let data = start.checked_add(length).and_then(|end| self.bytes.get(start..end));
        data.ok_or_else(|| self.problem(header, format!("element {index} of page {} extends beyond the page", self.id)))
    }

    /// Checks that the elements, which end at `end`, need all overflow pages. bbolt takes as many pages as a node fills
    /// (`node.go`, spill), and older versions one more if the node fills them exactly.
    pub(crate) fn check_overflow(&self, end: usize, page_size: u64) -> Result<(), Problem> {
        let least = (self.bytes.len() as u64).saturating_sub(page_size);
        if end as u64 >= least {
            return Ok(());
        }
        Err(self.problem(12, format!("page {} has more overflow pages than its elements fill", self.id)))
    }

    /// Returns the child of the first element of a branch page, without its key.
    pub(crate) fn first_child(&self) -> Option<u64> {
        (self.count > 0).then(|| le_u64(self.bytes, PAGE_HEADER_SIZE + 8)).flatten()
    }

    fn check_key_size(&self, index: usize, size: usize) -> Result<(), Problem> {
        if (1..=MAX_KEY_SIZE).contains(&size) {
            return Ok(());
        }
        let what = format!("element {index} of page {} has a key of {size} bytes", self.id);
        Err(self.problem(PAGE_HEADER_SIZE + index * ELEMENT_HEADER_SIZE, what))
    }

    fn too_many_elements(&self, at: usize) -> Problem {
        self.problem(at, format!("page {} has more elements than fit on it", self.id))
    }

    /// Returns the elements of a leaf page, in order.
    pub(crate) fn leaf_elements(self) -> impl Iterator<Item = Result<LeafElement<'a>, Problem>> {
        let mut start = self.data_start();
        (0..self.count).map(move |index| {
            let at = PAGE_HEADER_SIZE + index * ELEMENT_HEADER_SIZE;
            let fields = (
                le_u32(self.bytes, at),
                le_u32(self.bytes, at + 4),
                le_u32(self.bytes, at + 8),
                le_u32(self.bytes, at + 12),
            );
            let (Some(flags), Some(pos), Some(key_size), Some(value_size)) = fields else {
                return Err(self.too_many_elements(at));
            };
            if flags > 1 {
                return Err(self.problem(at, format!("element {index} of page {} has unknown flags", self.id)));
            }
            self.check_key_size(index, key_size as usize)?;
            let length = (key_size as usize).saturating_add(value_size as usize);
            let data = self.data(index, pos, start, length)?;
            let offset = self.offset.saturating_add(start as u64);
            start += length;
            let (key, value) = data.split_at(key_size as usize);
            Ok(LeafElement { key, value, is_bucket: flags == 1, offset, page: self.id })
        })
    }

    /// Returns the elements of a branch page, in order: the least key of each child, and the child's page.
    pub(crate) fn branch_elements(self) -> impl Iterator<Item = Result<(&'a [u8], u64), Problem>> {
        let mut start = self.data_start();
        (0..self.count).map(move |index| {
            let at = PAGE_HEADER_SIZE + index * ELEMENT_HEADER_SIZE;
            let fields = (le_u32(self.bytes, at), le_u32(self.bytes, at + 4), le_u64(self.bytes, at + 8));
            let (Some(pos), Some(key_size), Some(child)) = fields else {
                return Err(self.too_many_elements(at));
            };
            self.check_key_size(index, key_size as usize)?;
            let key = self.data(index, pos, start, key_size as usize)?;
            start += key.len();
            Ok((key, child))
        })
    }
}
