//! What is found in a part of the bucket `key`, and how the parts make a whole.
//!
//! A part is read without knowing what precedes it; what depends on that is looked at when its turn comes.

use crate::MAX_PROBLEMS;
use crate::cursor::leaf::TreeVisitor;
use crate::cursor::walk::WalkState;
use crate::mvcc::key_index::{IndexEntry, KeyHasher, KeyIndex};
use crate::page::layout::LeafElement;
use crate::page::reader::PageError;
use crate::report::{Problem, ReadFailure};

/// What was found in a part of the bucket, in the order of the keys.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    hasher: &'a KeyHasher,
    crc: u32,
    /// Bytes that the sum covers.
    length: usize,
    events: Vec<Event>,
    entries: Vec<IndexEntry>,
    problems: usize,
}

#[derive(Debug)]
enum Event {
    /// A page with its overflow, and how many of the entries are in it.
    Page { id: u64, extent: u64, entries: usize },
    /// Something is wrong with the page that was reached last, or with one that could not be.
    Problem(Problem),
}

impl<'a> Segment<'a> {
    pub(crate) fn new(hasher: &'a KeyHasher) -> Self {
        Segment { hasher, crc: 0, length: 0, events: Vec::new(), entries: Vec::new(), problems: 0 }
    }

    /// Nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Entries that wait for their turn.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Notes what was wrong.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    pub(crate) fn note(&mut self, outcome: Result<(), PageError>) -> Result<(), ReadFailure> {
        if let Some(problem) = PageError::problem(outcome)? {
            self.problems += 1;
            self.events.push(Event::Problem(problem));
        }
        Ok(())
    }

    /// There is no use in looking further.
    pub(crate) fn is_full(&self) -> bool {
        self.problems >= MAX_PROBLEMS
    }
}

impl TreeVisitor for Segment<'_> {
    fn page(&mut self, id: u64, extent: u64) -> Result<(), Problem> {
        self.events.push(Event::Page { id, extent, entries: 0 });
        Ok(())
    }

    fn leaf(&mut self, leaf: &LeafElement<'_>) -> Result<(), Problem> {
        self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, leaf.key), leaf.value);
        self.length += leaf.key.len() + leaf.value.len();
        self.entries.push(IndexEntry::of(leaf, self.hasher)?);
        if let Some(Event::Page { entries, .. }) = self.events.last_mut() {
            *entries += 1;
        }
        Ok(())
    }
}

/// The parts together.
pub(crate) struct Whole<'a> {
    pub(crate) found: &'a mut WalkState,
    pub(crate) index: &'a mut KeyIndex,
    /// CRC-32C of what precedes the next part.
    pub(crate) hash: u32,
    pub(crate) page_size: u64,
}

impl Whole<'_> {
    /// Adds the next part, or a piece of it.
    pub(crate) fn add(&mut self, part: &mut Segment<'_>) {
        self.hash = crc32c::crc32c_combine(self.hash, part.crc, part.length);
        (part.crc, part.length) = (0, 0);
        let mut all = part.entries.drain(..);
        // What is wrong with a page that does not belong here, or has an entry that does not, is no news.
        let mut spoilt = false;
        for event in part.events.drain(..) {
            match event {
                Event::Page { id, extent, entries } => {
                    let mut own = all.by_ref().take(entries);
                    let outcome = self.found.reach(id, extent, self.page_size);
                    let outcome = outcome.and_then(|()| own.try_for_each(|entry| self.index.add(entry)));
                    own.for_each(drop);
                    spoilt = outcome.is_err();
                    self.found.problems.extend(outcome.err());
                }
                Event::Problem(problem) if !spoilt => self.found.problems.push(problem),
                Event::Problem(_) => {}
            }
            if self.found.is_full() {
                return;
            }
        }
    }
}
