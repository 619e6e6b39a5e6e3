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
/// bbolt `internal/common/page.go`, `PgidNoFreelist`.
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
        Ok(meta) => return Ok(MetaLookup::Found(compare(meta, &first, &read(source, size, meta.page_size)?))),
        Err(why) => why,
    };
    let mut page_size = *PAGE_SIZES.start();
    while PAGE_SIZES.contains(&page_size) {
        let second = read(source, size, page_size)?;
        if let Ok(meta) = Meta::parse(&second)
            && meta.page_size == page_size
        {
            return Ok(MetaLookup::Found(only_readable(meta, 0, why)));
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

fn compare(first: Meta, first_page: &[u8], second_page: &[u8]) -> MetaPages {
    let second = match Meta::parse(second_page) {
        Ok(second) => second,
        Err(why) => return only_readable(first, 1, why),
    };
    let writer = match first.follows(&second) {
        // A member has the later transaction on the first page only if its number is even.
        true if first.txid.is_multiple_of(2) => Writer::SnapshotOrMember,
        true => Writer::Snapshot,
        false => Writer::Member,
    };
    let meta = if second.txid > first.txid { second } else { first };
    let problem = [(0, first_page), (1, second_page)].into_iter().find_map(|(id, page)| {
        let header = PageHeader::parse(page)?;
        (header.id != id || header.flags != META_PAGE).then(|| Problem {
            what: format!("the page header of meta page {id} is wrong"),
            offset: Some(id * first.page_size),
            hint: "the bytes at this offset were changed or overwritten: take the snapshot again".to_owned(),
        })
    });
    MetaPages { meta, writer, problem }
}

/// `why`: what is wrong with the other meta page, `damaged`.
fn only_readable(meta: Meta, damaged: u64, why: &str) -> MetaPages {
    let problem = Problem {
        what: format!("meta page {damaged} {why}, meta page {} is readable", 1 - damaged),
        offset: Some(damaged * meta.page_size),
        hint: "etcd opens such a file, but never writes a snapshot like this: take the snapshot again".to_owned(),
    };
    MetaPages { meta, writer: Writer::Unknown, problem: Some(problem) }
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
mod tests {
    use super::*;

    /// A meta page of a database with 5 pages and without a free list.
    fn page(id: u64, page_size: u32, txid: u64) -> Vec<u8> {
        let mut meta = Vec::new();
        meta.extend([MAGIC, VERSION, page_size, 0].map(u32::to_le_bytes).concat());
        meta.extend([3, 0, NO_FREELIST, 5, txid].map(u64::to_le_bytes).concat());
        meta.extend(fnv1a(&meta).to_le_bytes());
        let header = [&id.to_le_bytes()[..], &META_PAGE.to_le_bytes(), &[0; 6]].concat();
        let mut page = [header, meta].concat();
        page.resize(page_size as usize, 0);
        page
    }

    fn lookup(file: &[u8]) -> MetaLookup {
        read_meta_pages(file, file.len() as u64).expect("memory can be read")
    }

    fn found(file: &[u8]) -> MetaPages {
        match lookup(file) {
            MetaLookup::Found(pages) => pages,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_later_transaction_wins_and_its_fields_are_read() {
        let pages = found(&[page(0, 4096, 8), page(1, 4096, 9)].concat());
        assert_eq!(pages.problem, None);
        let Meta { page_size, root, freelist, high_water_mark, txid, .. } = pages.meta;
        assert_eq!((page_size, root, freelist, high_water_mark, txid), (4096, 3, None, 5, 9));
        assert_eq!(pages.meta.total_size(), 5 * 4096);
        assert_eq!(found(&[page(0, 4096, 10), page(1, 4096, 9)].concat()).meta.txid, 10);
    }

    #[test]
    fn the_transactions_tell_a_snapshot_from_a_member_database() {
        for (first, second, writer) in [
            (9, 8, Writer::Snapshot),
            (8, 9, Writer::Member),
            (10, 7, Writer::Member),
            (10, 9, Writer::SnapshotOrMember),
            (9, 9, Writer::Member),
        ] {
            assert_eq!(
                found(&[page(0, 4096, first), page(1, 4096, second)].concat()).writer,
                writer,
                "{first} {second}"
            );
        }
        // One transaction later, but with another root.
        let mut changed = page(1, 4096, 8);
        changed[PAGE_HEADER_SIZE + 16] = 4;
        let sum = fnv1a(&changed[PAGE_HEADER_SIZE..][..CHECKED_SIZE]);
        changed[PAGE_HEADER_SIZE + CHECKED_SIZE..META_SIZE].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(found(&[page(0, 4096, 9), changed].concat()).writer, Writer::Member);
    }

    #[test]
    fn one_readable_meta_page_is_enough_at_every_page_size() {
        for page_size in [1024, 4096, 16384, 65536] {
            let good = [page(0, page_size, 9), page(1, page_size, 8)].concat();
            for (damaged, txid) in [(0, 8), (1, 9)] {
                let mut file = good.clone();
                file[damaged * page_size as usize + 30] ^= 1;
                let pages = found(&file);
                assert_eq!((pages.meta.txid, pages.writer), (txid, Writer::Unknown), "{page_size}");
                let problem = pages.problem.expect("one is damaged");
                let what = format!("meta page {damaged} has a wrong checksum, meta page {} is readable", 1 - damaged);
                assert_eq!((problem.what, problem.offset), (what, Some(damaged as u64 * u64::from(page_size))));
            }
        }
    }

    #[test]
    fn each_damage_has_its_reason() {
        let reason = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = page(0, 4096, 9);
            change(&mut bytes);
            Meta::parse(&bytes).expect_err("it is damaged")
        };
        let sum = |bytes: &mut Vec<u8>| {
            let sum = fnv1a(&bytes[PAGE_HEADER_SIZE..][..CHECKED_SIZE]);
            bytes[PAGE_HEADER_SIZE + CHECKED_SIZE..META_SIZE].copy_from_slice(&sum.to_le_bytes());
        };
        assert_eq!(reason(&|bytes| bytes.fill(0)), "is all zeros");
        assert_eq!(reason(&|bytes| bytes[PAGE_HEADER_SIZE] = 0), "is overwritten");
        assert_eq!(reason(&|bytes| bytes.truncate(META_SIZE - 9)), "is cut off");
        assert_eq!(reason(&|bytes| bytes.truncate(META_SIZE - 1)), "has a wrong checksum");
        assert_eq!(reason(&|bytes| bytes[PAGE_HEADER_SIZE + 48] ^= 1), "has a wrong checksum");
        let version = |bytes: &mut Vec<u8>| {
            bytes[PAGE_HEADER_SIZE + 4] = 3;
            sum(bytes);
        };
        assert_eq!(reason(&version), "has an unknown version");
        for size in [0_u32, 512, 5000, 1 << 17] {
            let page_size = |bytes: &mut Vec<u8>| {
                bytes[PAGE_HEADER_SIZE + 8..PAGE_HEADER_SIZE + 12].copy_from_slice(&size.to_le_bytes());
                sum(bytes);
            };
            assert_eq!(reason(&page_size), "has an impossible page size", "{size}");
        }
    }

    #[test]
    fn a_wrong_page_header_is_a_problem_but_the_meta_page_is_used() {
        let good = [page(0, 4096, 9), page(1, 4096, 8)].concat();
        for (at, id) in [(0, 0), (8, 0), (4096, 1), (4096 + 8, 1)] {
            let mut file = good.clone();
            file[at] ^= 2;
            let pages = found(&file);
            assert_eq!((pages.meta.txid, pages.writer), (9, Writer::Snapshot));
            assert_eq!(
                pages.problem.map(|problem| problem.what),
                Some(format!("the page header of meta page {id} is wrong"))
            );
        }
    }

    #[test]
    fn a_file_without_a_meta_page_is_corrupt_only_if_it_has_the_magic_number() {
        assert!(matches!(lookup(b""), MetaLookup::NotBbolt));
        assert!(matches!(lookup(&[7; 20_000]), MetaLookup::NotBbolt));
        for kept in [0, 1] {
            let mut file = [page(0, 4096, 9), page(1, 4096, 8)].concat();
            // The checksum of one meta page, and all of the other one.
            file[kept * 4096 + 70] ^= 1;
            file[(1 - kept) * 4096..][..META_SIZE].fill(1);
            let MetaLookup::Corrupt(problem) = lookup(&file) else { panic!("it was a bbolt file") };
            assert!(problem.what.starts_with("no meta page is readable: meta page 0 "), "{problem:?}");
        }
        assert!(matches!(lookup(&page(0, 4096, 9)[..60]), MetaLookup::Corrupt(_)), "cut within the first meta page");
    }
}
