//! The second level: all pages of the database, and etcd's own rules for what lies in them.

use crate::cursor::walk::{BucketRoot, WalkState, walk};
use crate::freelist;
use crate::io::read_at::ReadAt;
use crate::io::scheduling::ReadScheduler;
use crate::meta::Meta;
use crate::mvcc::key_index::KeyIndex;
use crate::mvcc::parallel;
use crate::page::reader::PageReader;
use crate::report::{Contents, Problem, ReadFailure};
use crate::schema::buckets::{Bucket, MAX_BUCKETS, SchemaInfo};

const KEY: &[u8] = b"key";

/// Walks the database that `meta` describes, all of which is in the file. Gives its figures if nothing is wrong.
///
/// # Errors
/// Reading failed or was stopped.
pub(crate) fn check<S: ReadAt + ?Sized>(
    source: &S,
    meta: &Meta,
    revisions: &[i64],
    scheduler: ReadScheduler<'_>,
) -> Result<Result<Contents, Vec<Problem>>, ReadFailure> {
    let mut reader = PageReader::new(source, meta.page_size, meta.pages, scheduler);
    let mut found = WalkState::default();
    let buckets = buckets(&mut reader, meta, &mut found)?;
    if !found.problems.is_empty() {
        return Ok(Err(found.problems));
    }
    let mut hash = 0;
    let mut facts = SchemaInfo::default();
    let mut index = KeyIndex::new(revisions);
    let mut keys = None;
    for bucket in buckets {
        hash = crc32c::crc32c_append(hash, &bucket.name);
        match &bucket.root {
            BucketRoot::Page(top) if bucket.name == KEY => {
                hash = parallel::walk(&mut reader, *top, &mut found, &mut index, hash)?;
            }
            root => walk(&mut reader, root, &mut found, &mut |leaf| {
                hash = crc32c::crc32c_append(hash, leaf.key);
                hash = crc32c::crc32c_append(hash, leaf.value);
                if bucket.name == KEY { index.entry(leaf) } else { facts.entry(&bucket.name, leaf) }
            })?,
        }
        if bucket.name == KEY {
            keys = Some(bucket.root);
        }
    }
    if found.problems.is_empty()
        && let Some(id) = meta.freelist
    {
        let outcome = freelist::check(&mut reader, id, &mut found);
        found.note(outcome)?;
    }
    let (Some(keys), true) = (keys, found.problems.is_empty()) else { return Ok(Err(found.problems)) };
    Ok(figures(meta, hash, keys, index, facts).map_err(|problem| vec![problem]))
}

/// The buckets in the root; they must be etcd's.
fn buckets<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    meta: &Meta,
    found: &mut WalkState,
) -> Result<Vec<Bucket>, ReadFailure> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut more = 0_u64;
    walk(reader, &BucketRoot::Page(meta.root), found, &mut |leaf| {
        if buckets.len() < MAX_BUCKETS {
            buckets.push(Bucket::of(leaf, meta.page_size)?);
        } else {
            more += 1;
        }
        Ok(())
    })?;
    let has = |name: &[u8]| buckets.iter().any(|bucket| bucket.name == name);
    if found.problems.is_empty() && (more > 0 || !has(b"key") || !has(b"meta")) {
        let names: Vec<String> = buckets.iter().take(5).map(|bucket| bucket.name.escape_ascii().to_string()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        found.problems.push(Problem {
            what: "this is a bbolt database, but not etcd's: it has no buckets \"key\" and \"meta\"".to_owned(),
            offset: buckets.first().map(|bucket| bucket.offset),
            hint: format!("its first buckets are: {names}; other programs use bbolt, too"),
        });
    }
    Ok(buckets)
}

fn figures(meta: &Meta, hash: u32, keys: BucketRoot, index: KeyIndex, facts: SchemaInfo) -> Result<Contents, Problem> {
    let entries = index.entries();
    let latest = index.finish();
    let SchemaInfo { finished_compact, scheduled_compact, .. } = facts;
    if finished_compact > scheduled_compact {
        return Err(Problem {
            what: "the bucket \"meta\" says that a compaction was finished which was never begun".to_owned(),
            offset: None,
            hint: "bytes of the bucket \"meta\" were changed".to_owned(),
        });
    }
    // Every version from 3.4 on writes the index in the commit that has the keys, never as 0 (etcd `cindex.go`; 3.4
    // `kvstore.go`, saveIndex), and a restore sets it anew.
    if entries > 0 && facts.consistent_index.unwrap_or_default() == 0 {
        return Err(Problem {
            what: "there are keys, but the bucket \"meta\" has no consistent index".to_owned(),
            offset: None,
            hint: "an entry of the bucket \"meta\" was lost or changed; etcd would apply old entries of its log again"
                .to_owned(),
        });
    }
    let last_revision = latest.last();
    let compacted = finished_compact.max(scheduled_compact).unwrap_or_default();
    Ok(Contents {
        page_size: meta.page_size,
        total_size: meta.total_size(),
        hash,
        last_revision,
        revision: last_revision.max(compacted).max(1),
        finished_compact,
        scheduled_compact,
        total_keys: latest.count(),
        entries,
        storage_version: facts.storage_version,
        consistent_index: facts.consistent_index,
        term: facts.term,
        leases: facts.leases,
        users: facts.users,
        roles: facts.roles,
        auth_enabled: facts.auth_enabled,
        alarms: facts.alarms,
        keys,
        latest,
    })
}
