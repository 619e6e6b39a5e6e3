//! HashKV out of a file: the sum that a member computes over its history.
//!
//! Rule: etcd `server/storage/mvcc/hash.go` and `kvstore.go` (hashByRev). At hash revision R and compact revision C it
//! is the CRC-32C over the name of the bucket `key` and then key and value of every entry with a main revision up to
//! R; one with a main revision up to C counts only if it is in `keep`, which is per key the latest revision at R, but
//! no tombstone; a tombstone at C itself never counts. etcd 3.4, 3.5 and 3.6 agree in this: older ones do not skip that
//! tombstone by itself, but it is not in `keep` either. Where `keep` is empty, etcd filters nothing: then the sum is of
//! whatever its compaction has not removed yet, and differs from member to member.

use std::fmt;

use crate::ProgressFn;
use crate::bytes::Bitmap;
use crate::cursor::walk::{WalkState, walk};
use crate::io::read_at::ReadAt;
use crate::io::scheduling::{ReadScheduler, Shared};
use crate::mvcc::key_index::{KeyIndex, LiveEntries, Revision};
use crate::page::layout::LeafElement;
use crate::page::reader::PageReader;
use crate::report::{Contents, Problem, ReadFailure};

/// What a member's answer to HashKV was computed at; both come from that answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPoint {
    /// `hash_revision`.
    pub revision: i64,
    /// `compact_revision`: -1 when the member never compacted.
    pub compact_revision: i64,
}

/// Why a member's HashKV says nothing about this file. It does not mean that they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotComparable {
    /// The file is newer in its compaction: what the member still counted is no longer in the file.
    CompactedFurther {
        /// The file's compaction.
        file: i64,
        /// The member's.
        member: i64,
    },
    /// The file ends before that revision.
    EndsBefore {
        /// The file's newest revision.
        file: i64,
        /// The one that was asked for.
        asked: i64,
    },
    /// The answer contradicts itself: it was computed at a revision below its own compaction.
    BelowCompaction {
        /// The revision.
        revision: i64,
        /// The compaction.
        compact_revision: i64,
    },
    /// No key exists at that revision, and the member had compacted; then its sum depends on how far its compaction has
    /// come.
    NoLiveKeys,
}

impl fmt::Display for NotComparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotComparable::CompactedFurther { file, member } => {
                write!(f, "the file was compacted at revision {file}, the member only at {member} when it was asked")
            }
            NotComparable::EndsBefore { file, asked } => {
                write!(f, "the file ends at revision {file}, before revision {asked}")
            }
            NotComparable::BelowCompaction { revision, compact_revision } => {
                write!(f, "the member has compacted revision {revision} away (its compaction is at {compact_revision})")
            }
            NotComparable::NoLiveKeys => f.write_str("there is no key at that revision"),
        }
    }
}

/// Computes HashKV at each of `points` from a file that [`crate::check`] found sound, in one pass over the bucket `key`;
/// in two if a revision was not among [`crate::Options::revisions`] and is not the newest one.
///
/// # Errors
/// Reading failed or was stopped, or the file has been changed since it was checked.
pub fn hash_kv<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    points: &[HashPoint],
    progress: ProgressFn<'_>,
) -> Result<Vec<Result<u32, NotComparable>>, ReadFailure> {
    let checked: Vec<_> = points.iter().map(|point| comparable(contents, point).map(|()| *point)).collect();
    let wanted: Vec<i64> = checked.iter().flatten().map(|point| point.revision).collect();
    let missing: Vec<i64> = wanted.iter().copied().filter(|revision| contents.latest.at(*revision).is_none()).collect();
    let again = if missing.is_empty() { None } else { Some(latest(source, contents, &missing, progress)?) };
    let kept = |revision: i64| contents.latest.at(revision).or_else(|| again.as_ref()?.at(revision));

    let mut sums: Vec<Result<Sum<'_>, NotComparable>> = checked
        .into_iter()
        .map(|point| {
            let point = point?;
            kept(point.revision).and_then(|keep| Sum::new(point, keep)).ok_or(NotComparable::NoLiveKeys)
        })
        .collect();
    let mut ordinal = 0;
    pass(source, contents, progress, &mut |leaf| {
        if let Some(revision) = Revision::parse(leaf.key) {
            sums.iter_mut().flatten().for_each(|sum| sum.entry(leaf, revision, ordinal));
        }
        ordinal += 1;
        Ok(())
    })?;
    Ok(sums.into_iter().map(|sum| sum.map(|sum| sum.crc)).collect())
}

/// The file holds all that a member counted at that point.
fn comparable(contents: &Contents, point: &HashPoint) -> Result<(), NotComparable> {
    let HashPoint { revision, compact_revision } = *point;
    if compact_revision > revision {
        return Err(NotComparable::BelowCompaction { revision, compact_revision });
    }
    if contents.compact_revision() > compact_revision {
        let file = contents.compact_revision();
        return Err(NotComparable::CompactedFurther { file, member: compact_revision });
    }
    if revision > contents.revision {
        return Err(NotComparable::EndsBefore { file: contents.revision, asked: revision });
    }
    Ok(())
}

/// The sum at one point, while the entries come by.
struct Sum<'a> {
    point: HashPoint,
    keep: &'a Bitmap,
    crc: u32,
}

impl<'a> Sum<'a> {
    /// Nothing where the member filtered nothing, whatever is left in this file: how much was left in the member is not
    /// known, and the sum that it stored while it compacted is another one again (`kvstore_compaction.go` filters by
    /// another `keep`).
    fn new(point: HashPoint, keep: &'a Bitmap) -> Option<Self> {
        let depends = point.compact_revision > 0 && keep.count() == 0;
        (!depends).then(|| Sum { point, keep, crc: crc32c::crc32c(b"key") })
    }

    fn entry(&mut self, leaf: &LeafElement<'_>, revision: Revision, ordinal: u64) {
        let HashPoint { revision: last, compact_revision } = self.point;
        let Revision { main, tombstone, .. } = revision;
        if main > last {
            return;
        }
        let compacted = main <= compact_revision;
        if compacted && !self.keep.get(ordinal) || tombstone && main == compact_revision {
            return;
        }
        self.crc = crc32c::crc32c_append(self.crc, leaf.key);
        self.crc = crc32c::crc32c_append(self.crc, leaf.value);
    }
}

fn latest<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    revisions: &[i64],
    progress: ProgressFn<'_>,
) -> Result<LiveEntries, ReadFailure> {
    let mut index = KeyIndex::new(revisions);
    pass(source, contents, progress, &mut |leaf| index.entry(leaf))?;
    Ok(index.finish())
}

/// Goes through the bucket `key` once.
fn pass<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    progress: ProgressFn<'_>,
    visit: &mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
) -> Result<(), ReadFailure> {
    let shared = Shared::new(false);
    let scheduler = ReadScheduler::new(&shared, progress);
    let pages = contents.total_size / contents.page_size;
    let mut found = WalkState::default();
    let mut reader = PageReader::new(source, contents.page_size, pages, scheduler);
    walk(&mut reader, &contents.keys, &mut found, visit)?;
    if found.problems.is_empty() { Ok(()) } else { Err(ReadFailure::Changed) }
}
