//! One page of a bbolt file: its header and its elements, each checked before it is handed out.
//!
//! Layout: bbolt `internal/common/page.go` and `inode.go`. A page is a header of 16 bytes, an array of element headers
//! of 16 bytes each, and then the keys and values one behind the other, in the order of the elements: bbolt's writer
//! leaves no gap, so a gap or an overlap means that a header was changed.

use crate::bytes::{le_u16, le_u32, le_u64};
use crate::report::Problem;

pub(crate) const HEADER: usize = 16;
const ELEMENT: usize = 16;
/// `MaxKeySize` of bbolt.
const MAX_KEY: usize = 32768;
/// Largest page with its overflow that is read: bbolt puts no more than four large values on one, and etcd's requests
/// end at a few MiB, so this is far above what a member writes and keeps memory bounded.
pub(crate) const MAX_PAGE: u64 = 256 << 20;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
pub(crate) const META: u16 = 0x04;
const FREELIST: u16 = 0x10;

const REWRITTEN: &str =
    "the bytes at this place were changed or overwritten: a bad disk, or a copy that is not byte for byte";

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) id: u64,
    pub(crate) flags: u16,
    pub(crate) count: u16,
    pub(crate) overflow: u32,
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
        self.flags == LEAF
    }

    /// The header is the one that page `id` must have, and says of what kind the page is.
    pub(crate) fn kind(&self, id: u64, offset: u64) -> Result<PageKind, Problem> {
        let problem = |what: String, hint: &str| Problem { what, offset: Some(offset), hint: hint.to_owned() };
        if *self == (PageHeader { id: 0, flags: 0, count: 0, overflow: 0 }) {
            return Err(problem(
                format!("page {id} begins with zeros instead of a page header"),
                "a write that never reached the disk, or a copy that skipped a part of the file",
            ));
        }
        if self.id != id {
            return Err(problem(
                format!("the page at the place of page {id} says that it is page {}", self.id),
                "pages were swapped or written to the wrong place, or the header was overwritten",
            ));
        }
        match self.flags {
            BRANCH => Ok(PageKind::Branch),
            LEAF => Ok(PageKind::LeafElement),
            FREELIST => Ok(PageKind::Freelist),
            flags => Err(problem(format!("page {id} is of no kind that belongs here (flags {flags:#x})"), REWRITTEN)),
        }
    }
}

/// What a page that is no meta page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    Branch,
    LeafElement,
    Freelist,
}

/// A page with its overflow, or the inside of an inline bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    /// The number of the page, or of the one that the inline bucket lies on.
    pub(crate) id: u64,
    /// Where `bytes` begin in the file.
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
    /// Where the key begins in the file; the value follows.
    pub(crate) offset: u64,
    /// The page.
    pub(crate) page: u64,
}

impl<'a> Page<'a> {
    pub(crate) fn problem(&self, at: usize, what: String) -> Problem {
        Problem { what, offset: Some(self.offset.saturating_add(at as u64)), hint: REWRITTEN.to_owned() }
    }

    /// A page of that kind has no place here.
    pub(crate) fn misplaced(&self, kind: PageKind) -> Problem {
        let what = match kind {
            PageKind::Branch => "branch that no tree has here",
            PageKind::LeafElement => "leaf where others have branches",
            PageKind::Freelist => "free list in the midst of a tree",
        };
        self.problem(0, format!("page {} is a {what}", self.id))
    }

    /// Where the data of the first element begins.
    pub(crate) fn data(&self) -> usize {
        HEADER + self.count * ELEMENT
    }

    /// `length` bytes at `start`, where the element before ended; `pos` is what the element's header says.
    fn part(&self, index: usize, pos: u32, start: usize, length: usize) -> Result<&'a [u8], Problem> {
        let header = HEADER + index * ELEMENT;
        if header.checked_add(pos as usize) != Some(start) {
            let what = format!("element {index} of page {} does not begin where the one before it ends", self.id);
            return Err(self.problem(header, what));
        }
        let part = start.checked_add(length).and_then(|end| self.bytes.get(start..end));
        part.ok_or_else(|| self.problem(header, format!("element {index} of page {} reaches beyond the page", self.id)))
    }

    /// The elements end at `end`, and without its last overflow page they would not have had room. bbolt takes as many
    /// pages as a node fills (`node.go`, spill), older ones one more where it fills them exactly.
    pub(crate) fn check_extent(&self, end: usize, page_size: u64) -> Result<(), Problem> {
        let least = (self.bytes.len() as u64).saturating_sub(page_size);
        if end as u64 >= least {
            return Ok(());
        }
        Err(self.problem(12, format!("page {} has more overflow pages than its elements fill", self.id)))
    }

    fn check_key(&self, index: usize, length: usize) -> Result<(), Problem> {
        if (1..=MAX_KEY).contains(&length) {
            return Ok(());
        }
        let what = format!("element {index} of page {} has a key of {length} bytes", self.id);
        Err(self.problem(HEADER + index * ELEMENT, what))
    }

    /// All elements of a leaf, in order, after their headers were found sound.
    pub(crate) fn leaves(self) -> impl Iterator<Item = Result<LeafElement<'a>, Problem>> {
        let mut start = self.data();
        (0..self.count).map(move |index| {
            let at = HEADER + index * ELEMENT;
            let fields = (
                le_u32(self.bytes, at),
                le_u32(self.bytes, at + 4),
                le_u32(self.bytes, at + 8),
                le_u32(self.bytes, at + 12),
            );
            let (Some(flags), Some(pos), Some(key), Some(value)) = fields else {
                return Err(self.problem(at, format!("page {} has more elements than room", self.id)));
            };
            if flags > 1 {
                return Err(self.problem(at, format!("element {index} of page {} has unknown flags", self.id)));
            }
            self.check_key(index, key as usize)?;
            let length = (key as usize).saturating_add(value as usize);
            let part = self.part(index, pos, start, length)?;
            let offset = self.offset.saturating_add(start as u64);
            start += length;
            let (key, value) = part.split_at(key as usize);
            Ok(LeafElement { key, value, is_bucket: flags == 1, offset, page: self.id })
        })
    }

    /// All elements of a branch, in order: the least key of each child, and its page.
    pub(crate) fn branches(self) -> impl Iterator<Item = Result<(&'a [u8], u64), Problem>> {
        let mut start = self.data();
        (0..self.count).map(move |index| {
            let at = HEADER + index * ELEMENT;
            let fields = (le_u32(self.bytes, at), le_u32(self.bytes, at + 4), le_u64(self.bytes, at + 8));
            let (Some(pos), Some(key), Some(child)) = fields else {
                return Err(self.problem(at, format!("page {} has more elements than room", self.id)));
            };
            self.check_key(index, key as usize)?;
            let key = self.part(index, pos, start, key as usize)?;
            start += key.len();
            Ok((key, child))
        })
    }
}
