//! The buckets in the root bucket: etcd `server/storage/schema/bucket.go` and bbolt `bucket.go`.

use crate::bytes::le_u64;
use crate::cursor::{BucketRoot, WalkState, walk_bucket};
use crate::error::{Problem, ReadFailure};
use crate::io::ReadAt;
use crate::page::{LeafElement, PageReader};

/// The bucket with the revisions of all keys.
pub(crate) const KEY_BUCKET: &[u8] = b"key";
/// The bucket with what etcd knows about its own state.
pub(crate) const META_BUCKET: &[u8] = b"meta";

/// etcd from 3.4 on creates all of these when it starts (`server/storage/schema`).
const BUCKETS: [&[u8]; 10] = [
    b"alarm",
    b"auth",
    b"authRoles",
    b"authUsers",
    b"cluster",
    KEY_BUCKET,
    b"lease",
    b"members",
    b"members_removed",
    META_BUCKET,
];
/// 'etcdutl backup' of etcd 3.5 removes it from its copy of a member's own database.
const CLUSTER_BUCKET: &[u8] = b"cluster";

/// etcd has ten buckets. A later version may have some more.
const MAX_BUCKETS: usize = 64;
/// The header of a bucket: the page of its root, and a sequence that etcd does not use.
const BUCKET_HEADER_SIZE: usize = 16;

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) name: Vec<u8>,
    pub(crate) root: BucketRoot,
    /// The offset of its element in the file.
    offset: u64,
}

impl Bucket {
    /// Parses an element of the root bucket.
    fn parse(element: &LeafElement<'_>, page_size: u64) -> Result<Self, Problem> {
        let problem = |what: String| Problem {
            what,
            offset: Some(element.offset),
            hint: "the bytes at this offset were changed, or the file is not an etcd database".to_owned(),
        };
        if !element.is_bucket {
            return Err(problem("the root of the database has an entry that is not a bucket".to_owned()));
        }
        let bad = || problem(format!("the bucket {} has a wrong header", element.key.escape_ascii()));
        let (header, inline) = element.value.split_at_checked(BUCKET_HEADER_SIZE).ok_or_else(bad)?;
        let page = le_u64(header, 0).ok_or_else(bad)?;
        // bbolt `bucket.go`, `inlineable`: an inline bucket has at most a quarter of a page.
        let root = match page {
            0 if inline.len() as u64 <= page_size / 4 => {
                let offset = element.offset + (element.key.len() + BUCKET_HEADER_SIZE) as u64;
                BucketRoot::Inline { bytes: inline.to_vec(), offset, page: element.page }
            }
            page if page != 0 && inline.is_empty() => BucketRoot::Page(page),
            _ => return Err(bad()),
        };
        Ok(Bucket { name: element.key.to_vec(), root, offset: element.offset })
    }
}

/// Reads the buckets of the root bucket at page `root`, in order. They must be those of etcd.
///
/// # Errors
/// Reading failed or was cancelled. What is wrong with the file is in `state`.
pub(crate) fn read_buckets<S: ReadAt + ?Sized>(
    reader: &mut PageReader<'_, S>,
    root: u64,
    state: &mut WalkState,
) -> Result<Vec<Bucket>, ReadFailure> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut has_too_many = false;
    let page_size = reader.page_size();
    walk_bucket(reader, &BucketRoot::Page(root), state, &mut |element| {
        if buckets.len() < MAX_BUCKETS {
            buckets.push(Bucket::parse(element, page_size)?);
        } else {
            has_too_many = true;
        }
        Ok(())
    })?;
    let has = |name: &[u8]| buckets.iter().any(|bucket| bucket.name == name);
    if state.problems.is_empty() && (has_too_many || !has(KEY_BUCKET) || !has(META_BUCKET)) {
        let names: Vec<String> = buckets.iter().take(5).map(|bucket| bucket.name.escape_ascii().to_string()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        state.problems.push(Problem {
            what: "this is a bbolt database, but not etcd's: it does not have etcd's buckets".to_owned(),
            offset: buckets.first().map(|bucket| bucket.offset),
            hint: format!("check which program wrote the file; its first buckets are: {names}"),
        });
    }
    Ok(buckets)
}

/// Returns the problem of a database that lacks a bucket which etcd creates.
pub(crate) fn check_names(buckets: &[Bucket], is_snapshot: bool) -> Option<Problem> {
    let has = |name: &&&[u8]| buckets.iter().any(|bucket| bucket.name == **name);
    let lost = BUCKETS.iter().filter(|name| is_snapshot || **name != CLUSTER_BUCKET).find(|name| !has(name))?;
    Some(Problem {
        what: format!("the bucket \"{}\" is missing", lost.escape_ascii()),
        offset: buckets.first().map(|bucket| bucket.offset),
        hint: "etcd creates it when it starts, so it was lost with all that was in it: take the snapshot again"
            .to_owned(),
    })
}
