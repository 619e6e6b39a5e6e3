//! What is read in a segment of the bucket `key`, and how it is added to what precedes it.
//!
//! A segment is read without knowing what precedes it. What depends on that is checked when the segment is added.

use super::entry::{IndexEntry, KeyHasher};
use super::key_index::KeyIndex;
use crate::cursor::{TreeVisitor, WalkState};
use crate::error::{MAX_PROBLEMS, Problem, ReadFailure};
use crate::page::{LeafElement, PageError};

/// The number of entries after which a chunk is sent: 224 KiB.
const CHUNK_ENTRIES: usize = 1 << 12;

/// What was found on some neighbouring pages, in the order of the keys.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    crc: u32,
    /// The number of bytes that `crc` covers.
    length: usize,
    findings: Vec<Finding>,
    entries: Vec<IndexEntry>,
}

#[derive(Debug)]
enum Finding {
    /// A page, which is `pages` pages with its overflow pages. The next `entries` entries of the chunk are on it.
    Page { id: u64, pages: u64, entries: usize },
    /// A problem with the last page, or with one that could not be read.
    Problem(Problem),
}

/// Collects what is found in a segment, chunk by chunk.
#[derive(Debug)]
pub(super) struct SegmentVisitor<'a> {
    hasher: &'a KeyHasher,
    chunk: Chunk,
    problems: usize,
}

impl<'a> SegmentVisitor<'a> {
    pub(super) fn new(hasher: &'a KeyHasher) -> Self {
        SegmentVisitor { hasher, chunk: Chunk::default(), problems: 0 }
    }

    /// Returns `true` if nothing was found since the last chunk.
    pub(super) fn is_empty(&self) -> bool {
        self.chunk.findings.is_empty()
    }

    /// Returns `true` if the segment has enough problems to end the check.
    pub(super) fn is_full(&self) -> bool {
        self.problems >= MAX_PROBLEMS
    }

    /// Records what is wrong with a page.
    ///
    /// # Errors
    /// Reading failed or was cancelled.
    pub(super) fn record(&mut self, outcome: Result<(), PageError>) -> Result<(), ReadFailure> {
        if let Err(error) = outcome {
            self.chunk.findings.push(Finding::Problem(error.into_problem()?));
            self.problems += 1;
        }
        Ok(())
    }

    /// Returns the chunk if it is large enough to be sent. Called between two pages.
    pub(super) fn take_full_chunk(&mut self) -> Option<Chunk> {
        (self.chunk.entries.len() >= CHUNK_ENTRIES).then(|| std::mem::take(&mut self.chunk))
    }

    pub(super) fn into_last_chunk(self) -> Chunk {
        self.chunk
    }
}

impl TreeVisitor for SegmentVisitor<'_> {
    fn page(&mut self, id: u64, pages: u64) -> Result<(), Problem> {
        self.chunk.findings.push(Finding::Page { id, pages, entries: 0 });
        Ok(())
    }

    fn element(&mut self, element: &LeafElement<'_>) -> Result<(), Problem> {
        let chunk = &mut self.chunk;
        chunk.crc = crc32c::crc32c_append(crc32c::crc32c_append(chunk.crc, element.key), element.value);
        chunk.length += element.key.len() + element.value.len();
        chunk.entries.push(IndexEntry::new(element, self.hasher)?);
        if let Some(Finding::Page { entries, .. }) = chunk.findings.last_mut() {
            *entries += 1;
        }
        Ok(())
    }
}

impl Chunk {
    /// Adds the chunk to what precedes it: the pages to `state`, the entries to `index`. Returns `hash`, continued.
    pub(super) fn add_to(self, state: &mut WalkState, index: &mut KeyIndex, hash: u32, page_size: u64) -> u32 {
        let mut all = self.entries.into_iter();
        // Other problems of a page that does not belong here, or has an entry that does not, only follow from that.
        let mut is_misplaced = false;
        for finding in self.findings {
            match finding {
                Finding::Page { id, pages, entries } => {
                    let mut entries = all.by_ref().take(entries);
                    let outcome =
                        state.reach(id, pages, page_size).and_then(|()| entries.try_for_each(|entry| index.add(entry)));
                    entries.for_each(drop);
                    is_misplaced = outcome.is_err();
                    state.problems.extend(outcome.err());
                }
                Finding::Problem(problem) if !is_misplaced => state.problems.push(problem),
                Finding::Problem(_) => {}
            }
            if state.is_full() {
                break;
            }
        }
        crc32c::crc32c_combine(hash, self.crc, self.length)
    }
}
