//! The two meta pages: which one counts, how large a page is, and where everything begins.
//!
//! Rules: bbolt `internal/common/meta.go` (layout, FNV-1a checksum), `db.go` (`getPageSize`: the first meta page, else
//! the second at every possible page size; `meta`: the valid one with the higher transaction wins), and `tx.go`
//! (`WriteTo`: a snapshot has the same meta page twice, the second with the transaction before). A database in use
//! writes transaction N to meta page N modulo 2 (`meta.go`, `Write`), and where nothing but the transaction changed
//! since the one before, its two pages are the same as well: a commit without a change.

use crate::bytes::{le_u32, le_u64};
use crate::io::read_at::ReadAt;
use crate::page::layout::{HEADER, META, PageHeader};
use crate::report::{FileKind, Problem, ReadFailure};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// The fields that the checksum covers.
const COVERED: usize = 56;
/// PageHeader, fields and checksum.
pub(crate) const LENGTH: usize = HEADER + COVERED + 8;
const NO_FREELIST: u64 = u64::MAX;
/// bbolt allows more; an operating system's page has between 4 and 64 KiB, and etcd takes that one.
const PAGE_SIZES: std::ops::RangeInclusive<u64> = 1024..=65536;

/// A meta page whose checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u64,
    pub(crate) root: u64,
    pub(crate) freelist: Option<u64>,
    /// The high-water mark: all pages are below it.
    pub(crate) pages: u64,
    sequence: u64,
    flags: u32,
    txid: u64,
}

impl Meta {
    /// Reads the page that begins with `bytes`.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let body = bytes.get(HEADER..).unwrap_or_default();
        let covered = body.get(..COVERED).ok_or("is cut")?;
        if le_u32(body, 0) != Some(MAGIC) {
            return Err(if bytes.iter().all(|byte| *byte == 0) { "is all zero" } else { "is overwritten" });
        }
        let field = |at| le_u64(body, at).unwrap_or_default();
        if field(COVERED) != fnv1a(covered) {
            return Err("has a wrong checksum");
        }
        let half = |at| le_u32(body, at).unwrap_or_default();
        let page_size = u64::from(half(8));
        if half(4) != VERSION {
            return Err("is of another version of the format");
        }
        if !page_size.is_power_of_two() || !PAGE_SIZES.contains(&page_size) {
            return Err("gives a page size that no system has");
        }
        let freelist = Some(field(32)).filter(|page| *page != NO_FREELIST);
        Ok(Meta {
            page_size,
            root: field(16),
            freelist,
            pages: field(40),
            sequence: field(24),
            flags: half(12),
            txid: field(48),
        })
    }

    /// Size of the database in bytes.
    pub(crate) fn total_size(&self) -> u64 {
        self.pages.saturating_mul(self.page_size)
    }

    /// The same state of the database, one transaction later.
    fn follows(&self, other: &Meta) -> bool {
        other.txid.checked_add(1) == Some(self.txid) && *self == Meta { txid: self.txid, ..*other }
    }
}

/// What the meta pages say together.
#[derive(Debug)]
pub(crate) struct MetaPages {
    pub(crate) meta: Meta,
    pub(crate) kind: FileKind,
    /// The meta pages are a snapshot's, but also what a member leaves that committed without a change.
    pub(crate) ambiguous: bool,
    /// One meta page is damaged, the other one is not.
    pub(crate) problem: Option<Problem>,
}

/// Why there is no meta page.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The file never was a bbolt file, as far as one can tell.
    Foreign,
    /// It was one: the mark is there.
    Damaged(Problem),
}

/// Reads both meta pages.
pub(crate) fn find<S: ReadAt + ?Sized>(source: &S, size: u64) -> Result<Result<MetaPages, Missing>, ReadFailure> {
    let first = read(source, size, 0)?;
    let parsed = Meta::parse(&first);
    if let Ok(meta) = parsed {
        return Ok(Ok(pair(meta, &first, &read(source, size, meta.page_size)?)));
    }
    let mut page_size = *PAGE_SIZES.start();
    while PAGE_SIZES.contains(&page_size) {
        let second = read(source, size, page_size)?;
        if let Ok(meta) = Meta::parse(&second)
            && meta.page_size == page_size
        {
            return Ok(Ok(only(meta, 0, parsed.err().unwrap_or_default(), FileKind::MemberDatabase)));
        }
        page_size *= 2;
    }
    let marked = |bytes: &[u8]| le_u32(bytes, HEADER) == Some(MAGIC);
    if !marked(&first) && !marked(&read(source, size, 4096)?) {
        return Ok(Err(Missing::Foreign));
    }
    Ok(Err(Missing::Damaged(Problem {
        what: format!(
            "no meta page is readable: meta page 0 {}, and so is meta page 1",
            parsed.err().unwrap_or_default()
        ),
        offset: Some(0),
        hint: "both meta pages were overwritten; without them nothing can be found in the file".to_owned(),
    })))
}

fn pair(first: Meta, first_page: &[u8], second_page: &[u8]) -> MetaPages {
    let second = match Meta::parse(second_page) {
        Ok(second) => second,
        Err(why) => return only(first, 1, why, FileKind::MemberDatabase),
    };
    let kind = if first.follows(&second) { FileKind::Snapshot } else { FileKind::MemberDatabase };
    // A member has the later transaction on the first page only where its number is even.
    let ambiguous = kind == FileKind::Snapshot && first.txid.is_multiple_of(2);
    let meta = if second.txid > first.txid { second } else { first };
    let problem = [(0, first_page), (1, second_page)].into_iter().find_map(|(id, page)| {
        let header = PageHeader::parse(page)?;
        (header.id != id || header.flags != META).then(|| Problem {
            what: format!("the header of meta page {id} is wrong"),
            offset: Some(id * first.page_size),
            hint: "the bytes at this place were changed or overwritten".to_owned(),
        })
    });
    MetaPages { meta, kind, ambiguous, problem }
}

/// One meta page is damaged. Whether the file is a snapshot cannot be told any more by comparing the two.
fn only(meta: Meta, damaged: u64, why: &str, kind: FileKind) -> MetaPages {
    let problem = Problem {
        what: format!("meta page {damaged} {why}, meta page {} is readable", 1 - damaged),
        offset: Some(damaged * meta.page_size),
        hint: "etcd would open the file with the readable one, but a snapshot is never written like this".to_owned(),
    };
    MetaPages { meta, kind, ambiguous: false, problem: Some(problem) }
}

/// As much of a meta page as there is.
fn read<S: ReadAt + ?Sized>(source: &S, size: u64, offset: u64) -> Result<Vec<u8>, ReadFailure> {
    let length = size.saturating_sub(offset).min(LENGTH as u64);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    if !bytes.is_empty() {
        source.read_exact_at(&mut bytes, offset)?;
    }
    Ok(bytes)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
