//! Pages out of a file: in batches, with a bound on memory.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{PAGE_HEADER_SIZE, Page, PageHeader, PageKind};
use crate::error::{Problem, ReadFailure};
use crate::io::{Extent, ReadAt, ReadBatch, ReadScheduler};

/// The most bytes of one batch: they fit into the cache of one processor core. This is also why no other thread reads
/// ahead: fetching the bytes from another core's cache costs more than that saves.
const MAX_BATCH: u64 = 256 << 10;
/// The most bytes of a buffer for single pages that is kept for the next one.
const MAX_KEPT: u64 = 4 << 20;
/// A gap of so many pages between two wanted pages is read as well: it costs less than a second read.
const MAX_GAP: u64 = 2;
/// The largest page with its overflow pages that is read, so that memory is bounded. bbolt puts no more than four large
/// values on one page, and etcd's requests are limited to a few MiB, so this is far above what a member writes.
const MAX_PAGE_BYTES: u64 = 256 << 20;

/// Why there is no page to use: the file is corrupt there, or reading failed.
#[derive(Debug)]
pub(crate) enum PageError {
    Corrupt(Problem),
    Io(ReadFailure),
}

impl PageError {
    /// Returns what is wrong with the file.
    ///
    /// # Errors
    /// Reading failed, so nothing is known about the file.
    pub(crate) fn into_problem(self) -> Result<Problem, ReadFailure> {
        match self {
            PageError::Corrupt(problem) => Ok(problem),
            PageError::Io(failure) => Err(failure),
        }
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        PageError::Corrupt(problem)
    }
}

impl From<ReadFailure> for PageError {
    fn from(failure: ReadFailure) -> Self {
        PageError::Io(failure)
    }
}

/// Reads pages through a window that holds the last batch.
///
/// A sound database refers to each page once, so all readers of it together return no more pages than it has. Without
/// this limit, pages that overlap would be read again and again.
#[derive(Debug)]
pub(crate) struct PageReader<'a, S: ?Sized> {
    source: &'a S,
    page_size: u64,
    high_water_mark: u64,
    /// How many pages all readers have returned.
    returned: Arc<AtomicU64>,
    scheduler: ReadScheduler<'a>,
    window: ReadBatch,
    /// The extent of the window that was used last.
    current: usize,
    /// A page that the window does not hold completely.
    large: ReadBatch,
    /// A running average of the pages that a leaf takes, in sixteenths: an estimate for the next leaf.
    usual: u64,
}

impl<'a, S: ReadAt + ?Sized> PageReader<'a, S> {
    /// Creates a reader for a database whose pages are all below `high_water_mark`. The file must contain all of them.
    pub(crate) fn new(source: &'a S, page_size: u64, high_water_mark: u64, scheduler: ReadScheduler<'a>) -> Self {
        let (window, large) = (ReadBatch::default(), ReadBatch::default());
        let returned = Arc::default();
        PageReader { source, page_size, high_water_mark, returned, scheduler, window, current: 0, large, usual: 16 }
    }

    /// Creates a reader of the same database for another thread.
    pub(crate) fn for_other_thread(&self) -> Self {
        let returned = Arc::clone(&self.returned);
        PageReader { returned, ..PageReader::new(self.source, self.page_size, self.high_water_mark, self.scheduler) }
    }

    /// Creates a reader of the same database that counts its pages anew.
    pub(crate) fn for_other_check(&self) -> Self {
        PageReader::new(self.source, self.page_size, self.high_water_mark, self.scheduler)
    }

    /// Returns the problem of a database that refers to more pages than it has.
    pub(crate) fn overlap(&self) -> Option<Problem> {
        (self.returned.load(Ordering::Relaxed) > self.high_water_mark).then(|| Problem {
            what: format!("the database refers to more pages than the {} that it has", self.high_water_mark),
            offset: None,
            hint: "pages overlap, so some were changed: take the snapshot again".to_owned(),
        })
    }

    /// Returns `true` while another thread computes the sha-256.
    pub(crate) fn sequential_is_running(&self) -> bool {
        self.scheduler.sequential_is_running()
    }

    pub(crate) fn page_size(&self) -> u64 {
        self.page_size
    }

    pub(crate) fn high_water_mark(&self) -> u64 {
        self.high_water_mark
    }

    /// Returns page `id` with its overflow pages, its kind and its number of pages, after checking its header.
    pub(crate) fn page(&mut self, id: u64) -> Result<(Page<'_>, PageKind, u64), PageError> {
        let offset = self.offset(id)?;
        self.read_large(offset, self.page_size)?;
        let header = PageHeader::parse(self.large.bytes(0)).ok_or_else(eof)?;
        let (kind, pages) = self.check_header(&header, id, offset)?;
        self.count(pages)?;
        if pages > 1 {
            self.read_large(offset, pages * self.page_size)?;
        }
        Ok((Page { id, offset, bytes: self.large.bytes(0), count: usize::from(header.count) }, kind, pages))
    }

    /// Returns the first child of page `id`; `None` if the page is not a branch page. Only its first bytes are read and
    /// checked.
    pub(crate) fn first_child(&mut self, id: u64) -> Result<Option<u64>, PageError> {
        let offset = self.offset(id)?;
        self.read_large(offset, self.page_size)?;
        let header = PageHeader::parse(self.large.bytes(0)).ok_or_else(eof)?;
        let (kind, _) = self.check_header(&header, id, offset)?;
        if kind != PageKind::Branch {
            return Ok(None);
        }
        let page = Page { id, offset, bytes: self.large.bytes(0), count: usize::from(header.count) };
        Ok(Some(page.first_child().ok_or_else(|| page.misplaced(kind))?))
    }

    /// Returns the problem of page `id`, whose kind does not fit its place in the tree.
    pub(crate) fn misplaced(&self, id: u64, kind: PageKind) -> Problem {
        Page { id, offset: id.saturating_mul(self.page_size), bytes: &[], count: 0 }.misplaced(kind)
    }

    /// Does the same as [`PageReader::page`] for a leaf page. The pages in `following` are wanted next and are read in the same batch.
    pub(crate) fn leaf_page(
        &mut self,
        id: u64,
        following: impl Iterator<Item = u64>,
    ) -> Result<(Page<'_>, PageKind, u64), PageError> {
        let offset = self.offset(id)?;
        if let Some(problem) = self.overlap() {
            return Err(problem.into());
        }
        if !self.find(offset, self.page_size) {
            self.fill(id, following)?;
        }
        let header = self.slice(offset, PAGE_HEADER_SIZE as u64).and_then(PageHeader::parse).ok_or_else(eof)?;
        let (kind, pages) = self.check_header(&header, id, offset)?;
        self.count(pages)?;
        let (length, count) = (pages * self.page_size, usize::from(header.count));
        let most = 16 * MAX_BATCH / self.page_size;
        self.usual = (self.usual - self.usual / 16 + pages).clamp(16, most);
        if self.find(offset, length) {
            let bytes = self.slice(offset, length).ok_or_else(eof)?;
            return Ok((Page { id, offset, bytes, count }, kind, pages));
        }
        self.read_large(offset, length)?;
        Ok((Page { id, offset, bytes: self.large.bytes(0), count }, kind, pages))
    }

    /// Returns the offset of page `id` in the file.
    fn offset(&self, id: u64) -> Result<u64, Problem> {
        if (2..self.high_water_mark).contains(&id) {
            return Ok(id * self.page_size);
        }
        let last = self.high_water_mark.saturating_sub(1);
        Err(Problem {
            what: format!("a page refers to page {id}, but the database has the pages 2 to {last}"),
            offset: None,
            hint: "a branch page, a bucket or a meta page was changed: take the snapshot again".to_owned(),
        })
    }

    /// Checks the header of page `id`. Returns its kind and its number of pages.
    fn check_header(&self, header: &PageHeader, id: u64, offset: u64) -> Result<(PageKind, u64), Problem> {
        let kind = header.kind(id, offset)?;
        let pages = u64::from(header.overflow) + 1;
        if pages <= self.high_water_mark - id && pages * self.page_size <= MAX_PAGE_BYTES {
            return Ok((kind, pages));
        }
        Err(Problem {
            what: format!("page {id} claims {} overflow pages, more than there can be", header.overflow),
            offset: Some(offset),
            hint: "the header of the page was overwritten: take the snapshot again".to_owned(),
        })
    }

    /// Counts pages that will be returned.
    fn count(&self, pages: u64) -> Result<(), Problem> {
        self.returned.fetch_add(pages, Ordering::Relaxed);
        self.overlap().map_or(Ok(()), Err)
    }

    /// Reads bytes outside the window.
    fn read_large(&mut self, offset: u64, length: u64) -> Result<(), ReadFailure> {
        if self.large.capacity() as u64 > MAX_KEPT {
            self.large = ReadBatch::default();
        }
        self.large.extents = vec![Extent { offset, length }];
        self.large.read(self.source, &mut self.scheduler)
    }

    /// Returns `true` if the window holds these bytes, and makes their extent the current one.
    fn find(&mut self, offset: u64, length: u64) -> bool {
        let end = offset + length;
        let extents = &self.window.extents;
        let holds = |index: &usize| {
            extents.get(*index).is_some_and(|extent| extent.offset <= offset && end <= extent.offset + extent.length)
        };
        // Pages are used in the order in which they were asked for.
        let found = [self.current, self.current + 1].into_iter().find(holds).or_else(|| (0..extents.len()).find(holds));
        self.current = found.unwrap_or(self.current);
        found.is_some()
    }

    /// Returns bytes of the current extent.
    fn slice(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let start = offset.checked_sub(self.window.extents.get(self.current)?.offset)?;
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        self.window.bytes(self.current).get(start..start.checked_add(length)?)
    }

    /// Fills the window with page `id` and the pages that follow it.
    fn fill(&mut self, id: u64, following: impl Iterator<Item = u64>) -> Result<(), ReadFailure> {
        let mut wanted = std::iter::once(id).chain(following).peekable();
        self.current = 0;
        self.window.extents = self.plan(&mut wanted);
        self.window.read(self.source, &mut self.scheduler)
    }

    /// Returns what to read for the next wanted pages.
    fn plan(&self, wanted: &mut Peekable<impl Iterator<Item = u64>>) -> Vec<Extent> {
        let most = MAX_BATCH / self.page_size;
        // Each run with its first page, and the page behind its last.
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut pages = 0;
        while let Some(id) = wanted.next_if(|_| pages < most) {
            // A page that does not exist is reported when its turn comes.
            if !(2..self.high_water_mark).contains(&id) {
                continue;
            }
            let end = self.high_water_mark.min(id + self.usual.div_ceil(16));
            match runs.last_mut() {
                Some((first, last)) if id >= *first && id <= *last + MAX_GAP => {
                    pages += end.saturating_sub(*last);
                    *last = end.max(*last);
                }
                _ => {
                    pages += end - id;
                    runs.push((id, end));
                }
            }
        }
        let page_size = self.page_size;
        let extent = |(first, end)| Extent { offset: first * page_size, length: (end - first) * page_size };
        runs.into_iter().map(extent).collect()
    }
}

fn eof() -> ReadFailure {
    ReadFailure::Io(std::io::ErrorKind::UnexpectedEof.into())
}
