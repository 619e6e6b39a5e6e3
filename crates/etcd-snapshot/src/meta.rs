//! The two meta pages: which one is valid, the page size, and where the root bucket and the free list begin.
//!
//! Rules: bbolt `internal/common/meta.go` (layout, FNV-1a checksum), `db.go` (`getPageSize`: the first meta page, else
//! the second one at every possible page size; `meta`: the valid one with the higher transaction wins), and `tx.go`
//! (`WriteTo`: a snapshot has the same meta page twice, the second one with the transaction before). A running database
//! writes transaction N to meta page N modulo 2 (`meta.go`, `Write`). After a commit without a change, its two meta pages
//! differ in the transaction only, too.

use crate::bytes::{le_u32, le_u64};
use crate::error::{Problem, ReadFailure};
use crate::io::ReadAt;
use crate::page::{META_PAGE, PAGE_HEADER_SIZE, PageHeader};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes that the checksum covers.
const CHECKED_SIZE: usize = 56;
/// Page header, checked bytes and checksum.
const META_SIZE: usize = PAGE_HEADER_SIZE + CHECKED_SIZE + 8;
/// bbolt `internal/common/types.go`, `PgidNoFreelist`.
const NO_FREELIST: u64 = u64::MAX;
/// bbolt allows more. The page of an operating system has 4 to 64 KiB, and etcd uses that one.
const PAGE_SIZES: std::ops::RangeInclusive<u64> = 1024..=65536;

/// A meta page whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u64,
    /// The root page of the root bucket.
    pub(crate) root: u64,
    pub(crate) freelist: Option<u64>,
    /// All pages are below it.
    pub(crate) high_water_mark: u64,
    sequence: u64,
    flags: u32,
    txid: u64,
}

impl Meta {
    /// Parses the meta page in `bytes`. The error says what is wrong with it.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let meta = bytes.get(PAGE_HEADER_SIZE..).unwrap_or_default();
        let checked = meta.get(..CHECKED_SIZE).ok_or("is cut off")?;
        if le_u32(meta, 0) != Some(MAGIC) {
            return Err(if bytes.iter().all(|byte| *byte == 0) { "is all zeros" } else { "is overwritten" });
        }
        let field = |at| le_u64(meta, at).unwrap_or_default();
        if field(CHECKED_SIZE) != fnv1a(checked) {
            return Err("has a wrong checksum");
        }
        let half = |at| le_u32(meta, at).unwrap_or_default();
        let page_size = u64::from(half(8));
        if half(4) != VERSION {
            return Err("has an unknown version");
        }
        if !page_size.is_power_of_two() || !PAGE_SIZES.contains(&page_size) {
            return Err("has an impossible page size");
        }
        Ok(Meta {
            page_size,
            root: field(16),
            freelist: Some(field(32)).filter(|page| *page != NO_FREELIST),
            high_water_mark: field(40),
            sequence: field(24),
            flags: half(12),
            txid: field(48),
        })
    }

    /// Returns the size of the database in bytes.
    pub(crate) fn total_size(&self) -> u64 {
        self.high_water_mark.saturating_mul(self.page_size)
    }

    /// Returns `true` if this is `other`, one transaction later.
    fn follows(&self, other: &Meta) -> bool {
        other.txid.checked_add(1) == Some(self.txid) && *self == Meta { txid: self.txid, ..*other }
    }
}

/// What the two meta pages say about how the file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// By `Tx.WriteTo`, as a snapshot.
    Snapshot,
    /// By the commits of a member.
    Member,
    /// By `Tx.WriteTo`, or by a member that committed without a change.
    SnapshotOrMember,
    /// One meta page is damaged, so the two cannot be compared.
    Unknown,
}

/// What the meta pages say together.
#[derive(Debug)]
pub(crate) struct MetaPages {
    /// The valid one.
    pub(crate) meta: Meta,
    pub(crate) writer: Writer,
    /// What is wrong with the other one, or with a page header.
    pub(crate) problem: Option<Problem>,
    /// The bytes of both.
    raw: [Vec<u8>; 2],
}

impl MetaPages {
    /// Returns `true` if both meta pages of the file still have the same bytes.
    ///
    /// Only then what was read is one state of a database that a member writes to: a commit overwrites pages that the
    /// commit before it has freed, so a page of transaction N changes only after meta page N + 1 was written (bbolt
    /// `internal/freelist`, `Release`).
    pub(crate) fn is_current<S: ReadAt + ?Sized>(&self, source: &S, size: u64) -> Result<bool, ReadFailure> {
        let [first, second] = &self.raw;
        Ok(read(source, size, 0)? == *first && read(source, size, self.meta.page_size)? == *second)
    }
}

/// What a look for meta pages finds.
#[derive(Debug)]
pub(crate) enum MetaLookup {
    Found(MetaPages),
    /// The file was a bbolt file: the magic number is there.
    Corrupt(Problem),
    /// Nothing looks like a bbolt file.
    NotBbolt,
}

/// Reads both meta pages of a file of `size` bytes.
pub(crate) fn read_meta_pages<S: ReadAt + ?Sized>(source: &S, size: u64) -> Result<MetaLookup, ReadFailure> {
    let first = read(source, size, 0)?;
    let why = match Meta::parse(&first) {
        Ok(meta) => return Ok(MetaLookup::Found(compare(meta, first, read(source, size, meta.page_size)?))),
        Err(why) => why,
    };
    let mut page_size = *PAGE_SIZES.start();
    while PAGE_SIZES.contains(&page_size) {
        let second = read(source, size, page_size)?;
        if let Ok(meta) = Meta::parse(&second)
            && meta.page_size == page_size
        {
            return Ok(MetaLookup::Found(only_readable(meta, 0, why, [first, second])));
        }
        page_size *= 2;
    }
    let has_magic = |bytes: &[u8]| le_u32(bytes, PAGE_HEADER_SIZE) == Some(MAGIC);
    if !has_magic(&first) && !has_magic(&read(source, size, 4096)?) {
        return Ok(MetaLookup::NotBbolt);
    }
    Ok(MetaLookup::Corrupt(Problem {
        what: format!("no meta page is readable: meta page 0 {why}, and meta page 1 is damaged, too"),
        offset: Some(0),
        hint: "the file cannot be read without a meta page: take the snapshot again".to_owned(),
    }))
}

fn compare(first: Meta, first_page: Vec<u8>, second_page: Vec<u8>) -> MetaPages {
    let second = match Meta::parse(&second_page) {
        // bbolt writes both with the page size of the database, and reads with that of the first one.
        Ok(second) if second.page_size != first.page_size => {
            return only_readable(first, 1, "has another page size", [first_page, second_page]);
        }
        Ok(second) => second,
        Err(why) => return only_readable(first, 1, why, [first_page, second_page]),
    };
    let writer = match first.follows(&second) {
        // A member has the later transaction on the first page only if its number is even.
        true if first.txid.is_multiple_of(2) => Writer::SnapshotOrMember,
        true => Writer::Snapshot,
        false => Writer::Member,
    };
    let meta = if second.txid > first.txid { second } else { first };
    let problem = [(0, &first_page), (1, &second_page)].into_iter().find_map(|(id, page)| {
        let header = PageHeader::parse(page)?;
        (header.id != id || header.flags != META_PAGE).then(|| Problem {
            what: format!("the page header of meta page {id} is wrong"),
            offset: Some(id * first.page_size),
            hint: "the bytes at this offset were changed or overwritten: take the snapshot again".to_owned(),
        })
    });
    MetaPages { meta, writer, problem, raw: [first_page, second_page] }
}

/// `why`: what is wrong with the other meta page, `damaged`.
fn only_readable(meta: Meta, damaged: u64, why: &str, raw: [Vec<u8>; 2]) -> MetaPages {
    let problem = Problem {
        what: format!("meta page {damaged} {why}, meta page {} is readable", 1 - damaged),
        offset: Some(damaged * meta.page_size),
        hint: "etcd opens such a file, but never writes a snapshot like this: take the snapshot again".to_owned(),
    };
    MetaPages { meta, writer: Writer::Unknown, problem: Some(problem), raw }
}

/// Reads as much of a meta page as there is.
fn read<S: ReadAt + ?Sized>(source: &S, size: u64, offset: u64) -> Result<Vec<u8>, ReadFailure> {
    let length = size.saturating_sub(offset).min(META_SIZE as u64);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    if !bytes.is_empty() {
        source.read_exact_at(&mut bytes, offset)?;
    }
    Ok(bytes)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
