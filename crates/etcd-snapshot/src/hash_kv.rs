//! HashKV computed from a file: the hash that a member computes over its history.
//!
//! Rule: etcd `server/storage/mvcc/hash.go` and `kvstore.go` (`hashByRev`). At hash revision R and compact revision C, it
//! is the CRC-32C over the name of the bucket `key` and then the key and value of every entry with a main revision up to
//! R. An entry with a main revision up to C counts only if it is in `keep`, which has per key the latest revision at R
//! unless it is a tombstone. A tombstone at C never counts. etcd 3.4, 3.5 and 3.6 agree in this: older versions do not
//! skip that tombstone explicitly, but it is not in `keep` either. If `keep` is empty, etcd filters nothing. Then the
//! hash covers what the compaction has not removed yet, and differs from member to member.

use std::fmt;

use crate::bitmap::Bitmap;
use crate::cursor::{WalkState, walk_bucket};
use crate::error::{Problem, ReadFailure};
use crate::io::{ProgressFn, ReadAt, ReadCoordinator, ReadScheduler};
use crate::mvcc::{KeyIndex, LiveEntries, Revision};
use crate::page::{LeafElement, PageReader};
use crate::report::Contents;

/// What a member's HashKV was computed at. Both numbers are in its `HashKVResponse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPoint {
    /// `hash_revision`.
    pub revision: i64,
    /// `compact_revision`: -1 if the member never compacted.
    pub compact_revision: i64,
}

/// HashKV of a file at one [`HashPoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHash {
    /// The hash. It equals that of every member with the same history.
    Hash(u32),
    /// The file cannot have the hash of a member at that point.
    NotComparable(NotComparable),
}

/// Why a member's HashKV says nothing about a file. It does not mean that they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotComparable {
    /// The compaction of the file is newer: the member counted entries that the file no longer has.
    CompactedFurther {
        /// The compact revision of the file.
        file: i64,
        /// The compact revision of the member.
        member: i64,
    },
    /// The file ends before that revision.
    EndsBefore {
        /// The newest revision of the file.
        file: i64,
        /// The revision that was asked for.
        asked: i64,
    },
    /// The point contradicts itself: the revision is below the member's own compaction.
    BelowCompaction {
        /// The revision.
        revision: i64,
        /// The compact revision.
        compact_revision: i64,
    },
    /// No key exists at that revision, and the member has compacted. Then its hash depends on how far its compaction was.
    NoLiveKeys,
}

impl fmt::Display for NotComparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotComparable::CompactedFurther { file, member } => write!(
                f,
                "the file was compacted at revision {file}, the member only at revision {member} when it computed its hash"
            ),
            NotComparable::EndsBefore { file, asked } => {
                write!(f, "the file ends at revision {file}, before revision {asked}")
            }
            NotComparable::BelowCompaction { revision, compact_revision } => {
                write!(
                    f,
                    "the member has compacted revision {revision}: its compaction is at revision {compact_revision}"
                )
            }
            NotComparable::NoLiveKeys => f.write_str("no key exists at that revision"),
        }
    }
}

/// Computes HashKV of a file at each of `points`.
///
/// `contents` are from the [`check`](crate::check()) of the same file. It takes one pass over the bucket `key`, and two if
/// a revision is neither the newest one nor one of [`Options::revisions`](crate::Options::revisions).
///
/// # Errors
/// Reading failed or was cancelled, or the file was changed since it was checked.
pub fn hash_kv<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    points: &[HashPoint],
    progress: ProgressFn<'_>,
) -> Result<Vec<FileHash>, ReadFailure> {
    let missing: Vec<i64> = points
        .iter()
        .filter(|point| why_not_comparable(contents, point).is_none())
        .map(|point| point.revision)
        .filter(|revision| contents.live.at(*revision).is_none())
        .collect();
    let found = if missing.is_empty() { None } else { Some(live_entries(source, contents, &missing, progress)?) };
    let live = |revision: i64| contents.live.at(revision).or_else(|| found.as_ref()?.at(revision));

    let mut hashers: Vec<PointHasher<'_>> = points
        .iter()
        .map(|point| match why_not_comparable(contents, point) {
            Some(reason) => PointHasher::NotComparable(reason),
            None => PointHasher::new(*point, live(point.revision)),
        })
        .collect();
    let mut ordinal = 0;
    walk_keys(source, contents, progress, &mut |element| {
        if let Some(revision) = Revision::parse(element.key) {
            hashers.iter_mut().for_each(|hasher| hasher.add(element, revision, ordinal));
        }
        ordinal += 1;
        Ok(())
    })?;
    Ok(hashers.into_iter().map(PointHasher::finish).collect())
}

/// Returns `None` if the file has everything that a member counted at `point`.
fn why_not_comparable(contents: &Contents, point: &HashPoint) -> Option<NotComparable> {
    let HashPoint { revision, compact_revision } = *point;
    if compact_revision > revision {
        return Some(NotComparable::BelowCompaction { revision, compact_revision });
    }
    if contents.compact_revision() > compact_revision {
        let file = contents.compact_revision();
        return Some(NotComparable::CompactedFurther { file, member: compact_revision });
    }
    if revision > contents.revision {
        return Some(NotComparable::EndsBefore { file: contents.revision, asked: revision });
    }
    None
}

/// Computes the hash at one point from the entries in order.
enum PointHasher<'a> {
    Hashing { point: HashPoint, keep: &'a Bitmap, crc: u32 },
    NotComparable(NotComparable),
}

impl<'a> PointHasher<'a> {
    /// `keep`: the live entries at the point's revision. If there are none, the member filtered nothing, and how much its
    /// compaction had left is unknown. The hash that a member stores during a compaction is another one again
    /// (`kvstore_compaction.go` filters by another `keep`).
    fn new(point: HashPoint, keep: Option<&'a Bitmap>) -> Self {
        match keep {
            Some(keep) if point.compact_revision <= 0 || keep.count() > 0 => {
                PointHasher::Hashing { point, keep, crc: crc32c::crc32c(b"key") }
            }
            _ => PointHasher::NotComparable(NotComparable::NoLiveKeys),
        }
    }

    fn add(&mut self, element: &LeafElement<'_>, revision: Revision, ordinal: u64) {
        let PointHasher::Hashing { point, keep, crc } = self else { return };
        let Revision { main, tombstone, .. } = revision;
        if main > point.revision {
            return;
        }
        let is_compacted = main <= point.compact_revision;
        if is_compacted && !keep.get(ordinal) || tombstone && main == point.compact_revision {
            return;
        }
        *crc = crc32c::crc32c_append(*crc, element.key);
        *crc = crc32c::crc32c_append(*crc, element.value);
    }

    fn finish(self) -> FileHash {
        match self {
            PointHasher::Hashing { crc, .. } => FileHash::Hash(crc),
            PointHasher::NotComparable(reason) => FileHash::NotComparable(reason),
        }
    }
}

/// Reads the bucket `key` for the live entries at `revisions`.
fn live_entries<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    revisions: &[i64],
    progress: ProgressFn<'_>,
) -> Result<LiveEntries, ReadFailure> {
    let mut index = KeyIndex::new(revisions, Some(i64::MAX));
    walk_keys(source, contents, progress, &mut |element| index.add_element(element))?;
    Ok(index.finish().0)
}

/// Walks the bucket `key` of a file that was sound.
fn walk_keys<S: ReadAt + ?Sized>(
    source: &S,
    contents: &Contents,
    progress: ProgressFn<'_>,
    visit: &mut dyn FnMut(&LeafElement<'_>) -> Result<(), Problem>,
) -> Result<(), ReadFailure> {
    let coordinator = ReadCoordinator::new(false);
    let scheduler = ReadScheduler::new(&coordinator, progress);
    let high_water_mark = contents.total_size / contents.page_size;
    let mut state = WalkState::default();
    let mut reader = PageReader::new(source, contents.page_size, high_water_mark, scheduler);
    walk_bucket(&mut reader, &contents.key_bucket, &mut state, visit)?;
    if state.problems.is_empty() { Ok(()) } else { Err(ReadFailure::Changed) }
}
