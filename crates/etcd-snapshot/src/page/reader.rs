//! Pages out of a file: in batches, with a bound on memory and a place to stop.

use std::iter::Peekable;

use crate::io::read_at::ReadAt;
use crate::io::read_batch::{Extent, ReadBatch};
use crate::io::scheduling::ReadScheduler;
use crate::page::layout::{HEADER, MAX_PAGE, Page, PageHeader, PageKind};
use crate::report::{Problem, ReadFailure};

/// What a batch holds at most: small enough for the cache of one processor core. That is why nothing is read ahead in
/// another thread: what one core reads, another one must fetch from it, which costs more than is won.
const BATCH: u64 = 256 << 10;
/// A gap of so many pages between two that are wanted is read, too: that costs less than a second read.
const GAP: u64 = 2;

/// A page, or what is wrong with it, or why there is neither.
#[derive(Debug)]
pub(crate) enum PageError {
    Corrupt(Problem),
    Io(ReadFailure),
}

impl PageError {
    /// What is wrong with the file, if anything is.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(crate) fn problem(outcome: Result<(), PageError>) -> Result<Option<Problem>, ReadFailure> {
        match outcome {
            Ok(()) => Ok(None),
            Err(PageError::Corrupt(problem)) => Ok(Some(problem)),
            Err(PageError::Io(failure)) => Err(failure),
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

/// Reads pages through a window that holds the batch that was read last.
#[derive(Debug)]
pub(crate) struct PageReader<'a, S: ?Sized> {
    source: &'a S,
    page_size: u64,
    /// The high-water mark.
    pages: u64,
    scheduler: ReadScheduler<'a>,
    window: ReadBatch,
    /// The extent of the window that was used last.
    current: usize,
    /// A page that the window does not hold as a whole.
    large: ReadBatch,
    /// Sixteenths of pages that leaves take, on a running average: a guess for the next one.
    usual: u64,
}

impl<'a, S: ReadAt + ?Sized> PageReader<'a, S> {
    /// A reader for a database of `pages` pages of `page_size` bytes; all of them must be in the file.
    pub(crate) fn new(source: &'a S, page_size: u64, pages: u64, scheduler: ReadScheduler<'a>) -> Self {
        let (window, large) = (ReadBatch::default(), ReadBatch::default());
        PageReader { source, page_size, pages, scheduler, window, current: 0, large, usual: 16 }
    }

    /// Another one for the same database.
    pub(crate) fn again(&self) -> Self {
        PageReader::new(self.source, self.page_size, self.pages, self.scheduler)
    }

    /// Nobody else reads the file.
    pub(crate) fn is_alone(&self) -> bool {
        self.scheduler.is_alone()
    }

    pub(crate) fn page_size(&self) -> u64 {
        self.page_size
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Page `id` with its overflow, after its header was found sound. For a leaf, the pages in `following` are what will
    /// be wanted next.
    pub(crate) fn page(
        &mut self,
        id: u64,
        following: Option<impl Iterator<Item = u64>>,
    ) -> Result<(Page<'_>, PageKind, u64), PageError> {
        if !(2..self.pages).contains(&id) {
            return Err(PageError::Corrupt(Problem {
                what: format!(
                    "page {id} is referred to, but the database has the pages 2 to {}",
                    self.pages.saturating_sub(1)
                ),
                offset: None,
                hint: "a page that refers to others was changed".to_owned(),
            }));
        }
        let offset = id * self.page_size;
        let in_window = match following {
            Some(following) => {
                if !self.find(offset, self.page_size) {
                    self.fill(id, following)?;
                }
                true
            }
            None => {
                self.read_large(offset, self.page_size)?;
                false
            }
        };
        let first = if in_window { self.slice(offset, HEADER as u64) } else { Some(self.large.bytes(0)) };
        let header = first.and_then(PageHeader::parse).ok_or_else(eof)?;
        let kind = header.kind(id, offset)?;
        let extent = u64::from(header.overflow) + 1;
        let length = extent * self.page_size;
        if extent > self.pages - id || length > MAX_PAGE {
            let what = format!("page {id} claims {} overflow pages, more than there can be", header.overflow);
            let hint = "the page's header was overwritten".to_owned();
            return Err(PageError::Corrupt(Problem { what, offset: Some(offset), hint }));
        }
        let count = usize::from(header.count);
        if in_window {
            let most = 16 * BATCH / self.page_size;
            self.usual = (self.usual - self.usual / 16 + extent).clamp(16, most);
            if self.find(offset, length) {
                let bytes = self.slice(offset, length).ok_or_else(eof)?;
                return Ok((Page { id, offset, bytes, count }, kind, extent));
            }
        }
        if in_window || extent > 1 {
            self.read_large(offset, length)?;
        }
        Ok((Page { id, offset, bytes: self.large.bytes(0), count }, kind, extent))
    }

    /// Reads something apart from the window.
    fn read_large(&mut self, offset: u64, length: u64) -> Result<(), ReadFailure> {
        if self.large.capacity() as u64 > BATCH {
            self.large = ReadBatch::default();
        }
        self.large.extents = vec![Extent { offset, length }];
        self.large.read(self.source, &mut self.scheduler)
    }

    /// The window holds these bytes, in the extent that is the current one from now on.
    fn find(&mut self, offset: u64, length: u64) -> bool {
        let end = offset + length;
        let extents = &self.window.extents;
        let holds = |index: &usize| {
            extents.get(*index).is_some_and(|extent| extent.offset <= offset && end <= extent.offset + extent.length)
        };
        // The pages are used in the order in which they were asked for.
        let found = [self.current, self.current + 1].into_iter().find(holds).or_else(|| (0..extents.len()).find(holds));
        self.current = found.unwrap_or(self.current);
        found.is_some()
    }

    /// Bytes of the current extent.
    fn slice(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let start = offset.checked_sub(self.window.extents.get(self.current)?.offset)?;
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        self.window.bytes(self.current).get(start..start.checked_add(length)?)
    }

    /// Fills the window with page `id` and those that follow.
    fn fill(&mut self, id: u64, following: impl Iterator<Item = u64>) -> Result<(), ReadFailure> {
        let mut wanted = std::iter::once(id).chain(following).peekable();
        self.current = 0;
        self.window.extents = self.plan(&mut wanted);
        self.window.read(self.source, &mut self.scheduler)
    }

    /// What to read for the next of the wanted pages.
    fn plan(&self, wanted: &mut Peekable<impl Iterator<Item = u64>>) -> Vec<Extent> {
        let most = BATCH / self.page_size;
        // Each with its first page, and the one behind its last.
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut pages = 0;
        while let Some(id) = wanted.next_if(|_| pages < most) {
            // One that does not exist is found out when its turn comes.
            if !(2..self.pages).contains(&id) {
                continue;
            }
            let end = self.pages.min(id + self.usual.div_ceil(16));
            match runs.last_mut() {
                Some((first, last)) if id >= *first && id <= *last + GAP => {
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
