//! The structure of a database: all pages, as bbolt's `tx_check.go` checks them, and etcd's invariants for what they hold.

use crate::cursor::{BucketRoot, WalkState, walk_bucket};
use crate::error::{Problem, ReadFailure};
use crate::freelist::Freelist;
use crate::io::{ReadAt, ReadScheduler};
use crate::meta::Meta;
use crate::mvcc::{KeyIndex, LiveEntries, ParallelWalk, walk_key_bucket};
use crate::page::{PageError, PageReader};
use crate::report::Contents;
use crate::schema::{Bucket, KEY_BUCKET, META_BUCKET, SchemaInfo, check_names, read_buckets};

/// How far a scheduled compaction may be above the newest revision. A changed bit is further away than any etcd gets.
const MAX_AHEAD: i64 = 1 << 32;

/// What the check of a database finds.
#[derive(Debug)]
pub(crate) enum Examined {
    Sound(Box<Contents>),
    /// At least one problem.
    Corrupt(Vec<Problem>),
}

/// Checks the database that `meta` describes. The file must contain all of its pages. `revisions`: those for which
/// [`hash_kv`](crate::hash_kv()) will be called, besides the newest one.
///
/// # Errors
/// Reading failed or was cancelled.
pub(crate) fn check_database<S: ReadAt + ?Sized>(
    source: &S,
    meta: &Meta,
    is_snapshot: bool,
    revisions: &[i64],
    parallel: &ParallelWalk,
    scheduler: ReadScheduler<'_>,
) -> Result<Examined, ReadFailure> {
    let mut reader = PageReader::new(source, meta.page_size, meta.high_water_mark, scheduler);
    let mut state = WalkState::default();
    let buckets = read_buckets(&mut reader, meta.root, &mut state)?;
    state.problems.extend(check_names(&buckets, is_snapshot));
    if let Some(corrupt) = corrupt(&reader, &mut state) {
        return Ok(corrupt);
    }
    let mut hash = 0;
    let mut info = SchemaInfo::default();
    let mut index = KeyIndex::new(revisions, scheduled_compact(&reader, &buckets)?);
    let mut key_bucket = None;
    for bucket in buckets {
        let is_key_bucket = bucket.name == KEY_BUCKET;
        hash = crc32c::crc32c_append(hash, &bucket.name);
        match &bucket.root {
            BucketRoot::Page(root) if is_key_bucket => {
                hash = walk_key_bucket(&reader, *root, parallel, &mut state, &mut index, hash)?;
            }
            root => walk_bucket(&mut reader, root, &mut state, &mut |element| {
                hash = crc32c::crc32c_append(hash, element.key);
                hash = crc32c::crc32c_append(hash, element.value);
                if is_key_bucket { index.add_element(element) } else { info.add_element(&bucket.name, element) }
            })?,
        }
        if is_key_bucket {
            key_bucket = Some(bucket.root);
        }
    }
    if state.problems.is_empty()
        && let Some(id) = meta.freelist
    {
        let outcome = check_freelist(&mut reader, id, &mut state);
        state.record(outcome)?;
    }
    if let Some(corrupt) = corrupt(&reader, &mut state) {
        return Ok(corrupt);
    }
    let Some(key_bucket) = key_bucket else { return Ok(Examined::Corrupt(state.problems)) };
    let entries = index.entries();
    let lease = index.lost_lease(|lease| info.leases.contains(&lease)).map(lost_lease);
    let (live, history) = index.finish();
    let invariants = check_invariants(&info, entries, live.last_revision());
    if let Some(problem) = invariants.or(history).or(lease) {
        return Ok(Examined::Corrupt(vec![problem]));
    }
    Ok(Examined::Sound(Box::new(contents(meta, hash, key_bucket, entries, live, info))))
}

/// Reads the scheduled compaction, which the check of the bucket `key` needs, out of the bucket `meta`, which comes behind
/// it. If that bucket is damaged, its own check reports it.
fn scheduled_compact<S: ReadAt + ?Sized>(
    reader: &PageReader<'_, S>,
    buckets: &[Bucket],
) -> Result<Option<i64>, ReadFailure> {
    let Some(bucket) = buckets.iter().find(|bucket| bucket.name == META_BUCKET) else { return Ok(None) };
    let mut info = SchemaInfo::default();
    walk_bucket(&mut reader.for_other_check(), &bucket.root, &mut WalkState::default(), &mut |element| {
        info.add_element(META_BUCKET, element)
    })?;
    Ok(info.scheduled_compact)
}

/// Returns the result of a check that found problems. Pages that overlap explain all others, whichever thread was first.
fn corrupt<S: ReadAt + ?Sized>(reader: &PageReader<'_, S>, state: &mut WalkState) -> Option<Examined> {
    if let Some(overlap) = reader.overlap() {
        state.problems = vec![overlap];
    }
    let problems = std::mem::take(&mut state.problems);
    (!problems.is_empty()).then_some(Examined::Corrupt(problems))
}

/// Checks that each page is either reached or free, never both and never neither (bbolt `tx_check.go`).
fn check_freelist<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    id: u64,
    state: &mut WalkState,
) -> Result<(), PageError> {
    let (high_water_mark, page_size) = (reader.high_water_mark(), reader.page_size());
    let freelist = Freelist::read(reader, id)?;
    state.reach(id, freelist.pages, page_size)?;
    for page in 2..high_water_mark {
        let what = match (state.reached.get(page), freelist.free.get(page)) {
            (true, true) => "is in use and in the free list",
            (false, false) => "is neither in use nor in the free list",
            _ => continue,
        };
        return Err(PageError::Corrupt(Problem {
            what: format!("page {page} {what}"),
            offset: Some(page.saturating_mul(page_size)),
            hint: "the file was changed after it was written, or a write was lost: take the snapshot again".to_owned(),
        }));
    }
    Ok(())
}

/// Checks what etcd always writes into the bucket `meta`.
fn check_invariants(info: &SchemaInfo, entries: u64, last_revision: i64) -> Option<Problem> {
    if info.finished_compact > info.scheduled_compact {
        return Some(Problem {
            what: "the bucket \"meta\" has a finished compaction that was never scheduled".to_owned(),
            offset: None,
            hint: "bytes of the bucket \"meta\" were changed: take the snapshot again".to_owned(),
        });
    }
    // A member starts at the scheduled compaction if that is newer than all entries (`kvstore.go`, `restore`). A crash or a
    // compaction of nothing but tombstones can leave it some revisions above them.
    let newest = last_revision.max(info.finished_compact.unwrap_or_default());
    if let Some(scheduled) = info.scheduled_compact
        && scheduled.saturating_sub(newest) > MAX_AHEAD
    {
        return Some(Problem {
            what: format!("the bucket \"meta\" has a compaction at revision {scheduled}, but the newest revision is {newest}"),
            offset: None,
            hint: "bytes of the bucket \"meta\" were changed, and a restored cluster would start at that revision: take the \
                   snapshot again"
                .to_owned(),
        });
    }
    // Every version from 3.4 on writes the index in the commit that has the keys, never as 0 (etcd `cindex.go`; 3.4
    // `kvstore.go`, `saveIndex`), and a restore sets it again.
    if entries > 0 && info.consistent_index.unwrap_or_default() == 0 {
        return Some(Problem {
            what: "there are keys, but the bucket \"meta\" does not have a consistent index".to_owned(),
            offset: None,
            hint: "an entry of the bucket \"meta\" was lost or changed, and etcd would apply old raft entries again: take \
                   the snapshot again"
                .to_owned(),
        });
    }
    None
}

/// A put names a lease that exists, and the end of a lease deletes its keys in the same transaction (etcd
/// `server/lease/lessor.go`, `Revoke`).
fn lost_lease(id: i64) -> Problem {
    Problem {
        what: format!("a key has the lease {id:016x}, which the bucket \"lease\" lacks"),
        offset: None,
        hint: "the lease was lost or changed, and its keys would never expire: take the snapshot again".to_owned(),
    }
}

fn contents(
    meta: &Meta,
    hash: u32,
    key_bucket: BucketRoot,
    entries: u64,
    live: LiveEntries,
    info: SchemaInfo,
) -> Contents {
    let SchemaInfo { finished_compact, scheduled_compact, .. } = info;
    let last_revision = live.last_revision();
    let compacted = finished_compact.max(scheduled_compact).unwrap_or_default();
    Contents {
        page_size: meta.page_size,
        total_size: meta.total_size(),
        hash,
        last_revision,
        revision: last_revision.max(compacted).max(1),
        finished_compact,
        scheduled_compact,
        total_keys: live.count(),
        entries,
        storage_version: info.storage_version,
        consistent_index: info.consistent_index,
        term: info.term,
        leases: info.leases.len() as u64,
        users: info.users,
        roles: info.roles,
        auth_enabled: info.auth_enabled,
        alarms: info.alarms,
        key_bucket,
        live,
    }
}
