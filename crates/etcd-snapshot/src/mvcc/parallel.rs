//! The bucket `key`, which is nearly all of a database, by two threads.
//!
//! Each of them takes some neighbouring branches at a time and reads their leaves; what they found is put together in
//! the order of the keys, so that nothing depends on which of them was faster. Every thread uses what it has read
//! itself: bytes that come from another core's cache cost more than they save.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cursor::branch::{Branch, BranchCursor};
use crate::cursor::leaf::leaf;
use crate::cursor::walk::WalkState;
use crate::io::read_at::ReadAt;
use crate::mvcc::key_index::{KeyHasher, KeyIndex};
use crate::mvcc::segment::{Segment, Whole};
use crate::page::reader::PageReader;
use crate::report::ReadFailure;

/// A second thread would come too late for fewer pages. Tests and the fuzzer have small files and want it.
const WORTHWHILE: u64 = if cfg!(debug_assertions) { 4 } else { 2048 };
/// A part has at least so many leaves, if there are as many: to put two sums together takes as long as some leaves do.
const LEAVES: usize = if cfg!(debug_assertions) { 8 } else { 512 };
/// Entries of which a part holds what is known until it is its turn; more wait for that. 40 bytes each.
const ENTRIES: usize = 1 << 14;
/// Parts that may wait for one before them.
const WAITING: usize = 8;

/// How far it has come.
struct State<'a, 'p> {
    whole: Whole<'a>,
    /// The part that is added next.
    turn: usize,
    /// Parts that are complete and wait for their turn.
    waiting: BTreeMap<usize, Segment<'p>>,
    /// All parts were taken.
    taken: bool,
    /// Something failed, or enough is wrong: no part is wanted any more.
    over: bool,
}

/// A part that is to be read.
struct Task<'p> {
    number: usize,
    /// So far, what was found on the way to its leaves.
    part: Segment<'p>,
    branches: Vec<Branch>,
}

/// What the threads share.
struct Work<'a, 'p> {
    hasher: &'p KeyHasher,
    /// The way to the parts that are left, and the number of the next one.
    left: Mutex<(BranchCursor, usize)>,
    state: Mutex<State<'a, 'p>>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a, 'p> Work<'a, 'p> {
    /// Takes parts until there are no more.
    ///
    /// # Errors
    /// Reading failed or was stopped.
    fn run<S: ReadAt + ?Sized>(&self, reader: &mut PageReader<'_, S>) -> Result<(), ReadFailure> {
        // Whoever waits for this thread's part must not wait for ever.
        let mut end = End { work: self, armed: true };
        while let Some(Task { number, mut part, branches }) = self.take(reader)? {
            let leaves = branches.iter().flat_map(|branch| (0..branch.children()).map(move |index| (branch, index)));
            for (branch, index) in leaves {
                let outcome = leaf(reader, branch, index, &mut part);
                part.note(outcome)?;
                if part.is_full() {
                    break;
                }
                if part.entries() >= ENTRIES {
                    let mut state = self.wait(|state| state.turn != number);
                    state.add(&mut part);
                    if state.over {
                        break;
                    }
                }
            }
            self.finish(number, part);
        }
        end.armed = false;
        Ok(())
    }

    /// The next part.
    fn take<S: ReadAt + ?Sized>(&self, reader: &mut PageReader<'_, S>) -> Result<Option<Task<'p>>, ReadFailure> {
        let mut left = lock(&self.left);
        let (way, next) = &mut *left;
        let (mut part, mut branches, mut leaves) = (Segment::new(self.hasher), Vec::new(), 0);
        while leaves < LEAVES && !part.is_full() {
            match way.next(reader, &mut part) {
                Ok(None) => break,
                Ok(Some(branch)) => {
                    leaves += branch.children();
                    branches.push(branch);
                }
                Err(error) => part.note(Err(error))?,
            }
        }
        let mut state = lock(&self.state);
        state.taken |= part.is_empty() && branches.is_empty();
        if state.taken || state.over {
            return Ok(None);
        }
        let number = *next;
        *next += 1;
        Ok(Some(Task { number, part, branches }))
    }

    /// Leaves a part that is complete to whoever has its turn, and adds all whose turn it is.
    fn finish(&self, number: usize, part: Segment<'p>) {
        let mut state = self.wait(|state| state.turn != number && state.waiting.len() >= WAITING);
        state.waiting.insert(number, part);
        while let State { turn, waiting, .. } = &mut *state
            && let Some(mut part) = waiting.remove(turn)
        {
            *turn += 1;
            state.add(&mut part);
        }
        self.changed.notify_all();
    }

    /// Waits while `reason` holds.
    fn wait(&self, reason: impl Fn(&State<'a, 'p>) -> bool) -> MutexGuard<'_, State<'a, 'p>> {
        let state = lock(&self.state);
        let waited = self.changed.wait_while(state, |state| !state.over && reason(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be parts to take.
    fn is_left(&self) -> bool {
        let state = lock(&self.state);
        !state.taken && !state.over
    }
}

impl State<'_, '_> {
    fn add(&mut self, part: &mut Segment<'_>) {
        if !self.over {
            self.whole.add(part);
            self.over = self.whole.found.is_full();
        }
    }
}

/// Ends the work when it is dropped too early: after a failure.
struct End<'w, 'a, 'p> {
    work: &'w Work<'a, 'p>,
    armed: bool,
}

impl Drop for End<'_, '_, '_> {
    fn drop(&mut self) {
        if self.armed {
            lock(&self.work.state).over = true;
            self.work.changed.notify_all();
        }
    }
}

/// Goes through the bucket whose root is page `top`, and goes on with the sum `hash`.
///
/// # Errors
/// Reading failed or was stopped; whatever is wrong with the file is in `found`.
pub(crate) fn walk<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    top: u64,
    found: &mut WalkState,
    index: &mut KeyIndex,
    hash: u32,
) -> Result<u32, ReadFailure> {
    let mut branches = BranchCursor::default();
    found.note(branches.begin(reader, top))?;
    let hasher = index.hasher();
    let whole = Whole { found, index, hash, page_size: reader.page_size() };
    let state = State { whole, turn: 0, waiting: BTreeMap::new(), taken: false, over: false };
    let (left, state) = (Mutex::new((branches, 0)), Mutex::new(state));
    let work = Work { hasher: &hasher, left, state, changed: Condvar::new() };
    let mut second = reader.again();
    let outcomes = std::thread::scope(|scope| {
        let work = &work;
        let helper = (reader.pages() >= WORTHWHILE).then(|| {
            scope.spawn(move || {
                // As long as the file is summed, one core does that and one the walk.
                while !second.is_alone() && work.is_left() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                work.run(&mut second)
            })
        });
        let own = work.run(reader);
        // The thread neither panics nor outlives the scope.
        [own, helper.map_or(Ok(()), |helper| helper.join().unwrap_or(Err(ReadFailure::Cancelled)))]
    });
    let [own, helper] = outcomes;
    match (own, helper) {
        (Err(own), Err(other)) => Err(own.or(other)),
        (Err(failure), Ok(())) | (Ok(()), Err(failure)) => Err(failure),
        (Ok(()), Ok(())) => Ok(lock(&work.state).whole.hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_PROBLEMS;
    use crate::cursor::leaf::TreeVisitor;
    use crate::page::layout::LeafElement;
    use crate::page::reader::PageError;
    use crate::report::Problem;

    fn entry(revision: u64) -> (Vec<u8>, Vec<u8>) {
        let key = [&revision.to_be_bytes()[..], b"_", &[0; 8]].concat();
        let number = u8::try_from(revision).expect("a small one");
        (key, vec![0x0a, 1, number, 0x10, number, 0x18, number, 0x20, 1])
    }

    /// Leaves with one entry each: the page and its revision.
    fn part<'a>(hasher: &'a KeyHasher, leaves: &[(u64, u64)]) -> Segment<'a> {
        let mut part = Segment::new(hasher);
        for (page, revision) in leaves {
            let (key, value) = entry(*revision);
            part.page(*page, 1).expect("nothing was added");
            part.leaf(&LeafElement { key: &key, value: &value, is_bucket: false, offset: 0, page: *page })
                .expect("sound");
        }
        part
    }

    fn problem(what: &str) -> Problem {
        Problem { what: what.to_owned(), offset: None, hint: String::new() }
    }

    /// Adds parts in the order in which they are given, which need not be that of their numbers.
    fn put<'p>(hasher: &'p KeyHasher, parts: impl FnOnce(&Work<'_, 'p>)) -> (u32, WalkState, KeyIndex) {
        let (mut found, mut index) = (WalkState::default(), KeyIndex::new(&[]));
        let whole = Whole { found: &mut found, index: &mut index, hash: 0, page_size: 4096 };
        let state = State { whole, turn: 0, waiting: BTreeMap::new(), taken: false, over: false };
        let left = Mutex::new((BranchCursor::default(), 0));
        let work = Work { hasher, left, state: Mutex::new(state), changed: Condvar::new() };
        parts(&work);
        let hash = lock(&work.state).whole.hash;
        drop(work);
        (hash, found, index)
    }

    #[test]
    fn parts_count_in_the_order_of_the_keys_whichever_is_ready_first() {
        let hasher = KeyHasher::default();
        let (hash, found, index) = put(&hasher, |work| {
            work.finish(2, part(&hasher, &[(9, 6)]));
            work.finish(1, part(&hasher, &[(8, 4), (4, 5)]));
            assert_eq!(lock(&work.state).whole.index.entries(), 0, "the first one is missing");
            work.finish(0, part(&hasher, &[(7, 2), (3, 3)]));
        });
        let whole: Vec<u8> = (2..=6).flat_map(|revision| [entry(revision).0, entry(revision).1].concat()).collect();
        assert_eq!(hash, crc32c::crc32c(&whole));
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert_eq!((index.entries(), index.finish().last()), (5, 6));
        assert!((3..=9).all(|page| found.reached.get(page) != (5..=6).contains(&page)));
    }

    #[test]
    fn a_page_that_two_parts_have_is_named_once_and_its_entries_do_not_count() {
        let hasher = KeyHasher::default();
        let (_, found, index) = put(&hasher, |work| {
            let mut second = part(&hasher, &[(7, 2)]);
            second.note(Err(PageError::Corrupt(problem("what follows from it")))).expect("it was read");
            work.finish(1, second);
            work.finish(0, part(&hasher, &[(7, 2), (8, 3)]));
        });
        let what: Vec<&str> = found.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(what, ["page 7 belongs to two parts of the database at once"]);
        assert_eq!(index.entries(), 2);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_failed() {
        let hasher = KeyHasher::default();
        put(&hasher, |work| {
            std::thread::scope(|scope| {
                // Its turn would come after part 0, which never comes.
                let waits = scope.spawn(|| drop(work.wait(|state| state.turn != 1)));
                drop(End { work, armed: true });
                waits.join().expect("it ends");
            });
            assert!(!work.is_left());
        });
    }

    #[test]
    fn enough_problems_end_the_work() {
        let hasher = KeyHasher::default();
        let (_, found, _) = put(&hasher, |work| {
            let mut bad = part(&hasher, &[]);
            for number in 0..MAX_PROBLEMS + 5 {
                bad.note(Err(PageError::Corrupt(problem(&number.to_string())))).expect("it was read");
            }
            work.finish(0, bad);
            assert!(!work.is_left());
        });
        assert_eq!(found.problems.len(), MAX_PROBLEMS);
    }
}
