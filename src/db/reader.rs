//! Pages out of a file: few large reads, a bound on memory, and a place to stop.

use super::pace::Pace;
use super::page::{HEADER, Header, Kind, MAX_PAGE, Page};
use super::report::{Failure, Problem};
use super::source::Source;

/// Least and most that one read fetches ahead of what was asked for. The most fits into a processor's second cache
/// together with what is done to it.
const LEAST: u64 = 16 << 10;
const MOST: u64 = 256 << 10;

/// A page, or what is wrong with it, or why there is neither.
#[derive(Debug)]
pub(super) enum Trouble {
    Bad(Problem),
    Failed(Failure),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Trouble::Bad(problem)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failed(failure)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Trouble::Failed(Failure::Read(error))
    }
}

/// Reads pages through a window that holds the last piece of the file that was read.
#[derive(Debug)]
pub(super) struct Reader<'a, S: ?Sized> {
    source: &'a S,
    page_size: u64,
    /// The high-water mark.
    pages: u64,
    pace: Pace<'a>,
    window: Vec<u8>,
    /// Where the window begins in the file, and how many of its bytes count.
    start: u64,
    length: usize,
}

impl<'a, S: Source + ?Sized> Reader<'a, S> {
    /// A reader for a database of `pages` pages of `page_size` bytes; all of them must be in the file.
    pub(super) fn new(source: &'a S, page_size: u64, pages: u64, pace: Pace<'a>) -> Self {
        Reader { source, page_size, pages, pace, window: Vec::new(), start: 0, length: 0 }
    }

    pub(super) fn page_size(&self) -> u64 {
        self.page_size
    }

    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// How many pages it makes sense to read ahead from `first` on, when the pages in `next` follow.
    pub(super) fn run(&self, first: u64, next: impl Iterator<Item = u64>) -> u64 {
        let most = MOST / self.page_size;
        let mut last = first;
        for page in next {
            // Up to a gap that large values with their overflow pages explain.
            let near = page > last && page - last <= most / 4 && page - first < most;
            if !near {
                break;
            }
            last = page;
        }
        last - first + 1
    }

    /// Page `id` with its overflow, after its header was found sound. `ahead` pages are read when the page is not
    /// there yet.
    pub(super) fn page(&mut self, id: u64, ahead: impl FnOnce(&Self) -> u64) -> Result<(Page<'_>, Kind, u64), Trouble> {
        let offset = id.saturating_mul(self.page_size);
        if !(2..self.pages).contains(&id) {
            return Err(Trouble::Bad(Problem {
                what: format!(
                    "page {id} is referred to, but the database has the pages 2 to {}",
                    self.pages.saturating_sub(1)
                ),
                offset: None,
                hint: "a page that refers to others was changed".to_owned(),
            }));
        }
        if !self.holds(offset, self.page_size) {
            let wanted = ahead(self).saturating_mul(self.page_size);
            self.fetch(offset, wanted.clamp(LEAST, MOST).max(self.page_size))?;
        }
        let header = self.slice(offset, HEADER as u64).and_then(Header::parse).ok_or(Failure::Read(eof()))?;
        let kind = header.kind(id, offset)?;
        let extent = u64::from(header.overflow) + 1;
        let length = extent.saturating_mul(self.page_size);
        if extent > self.pages - id || length > MAX_PAGE {
            let what = format!("page {id} claims {} overflow pages, more than there can be", header.overflow);
            let hint = "the page's header was overwritten".to_owned();
            return Err(Trouble::Bad(Problem { what, offset: Some(offset), hint }));
        }
        if !self.holds(offset, length) {
            self.fetch(offset, length.max(LEAST))?;
        }
        let bytes = self.slice(offset, length).ok_or(Failure::Read(eof()))?;
        Ok((Page { id, offset, bytes, count: usize::from(header.count) }, kind, extent))
    }

    fn holds(&self, offset: u64, length: u64) -> bool {
        offset >= self.start && offset.saturating_add(length) <= self.start + self.length as u64
    }

    fn slice(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.window.get(..self.length)?.get(at..at.checked_add(usize::try_from(length).ok()?)?)
    }

    /// Fills the window from `offset` on, up to the end of the database.
    fn fetch(&mut self, offset: u64, length: u64) -> Result<(), Failure> {
        let end = self.pages.saturating_mul(self.page_size);
        let length = usize::try_from(length.min(end.saturating_sub(offset))).unwrap_or_default();
        self.length = 0;
        // Room for the usual piece, or for one very large page, which is given back after it.
        let room = length.max(usize::try_from(MOST.min(end)).unwrap_or_default());
        if self.window.len() != room {
            self.window = vec![0; room];
        }
        self.pace.before(offset + length as u64);
        self.source.read_exact_at(&mut self.window[..length], offset)?;
        (self.start, self.length) = (offset, length);
        self.pace.after(length as u64)
    }
}

fn eof() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}
