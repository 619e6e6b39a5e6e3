//! etcd's buckets: which there are, and what is in those that are not `key`.
//!
//! ReadAt: etcd `server/storage/schema` (bucket.go for the names; cindex.go, lease.go, alarm.go, auth.go, membership.go
//! and version.go for what lies in them), the same from 3.4 to 3.7 but for what each version added.

use crate::bytes::be_u64;
use crate::cursor::walk::BucketRoot;
use crate::mvcc::key_index::Revision;
use crate::page::layout::LeafElement;
use crate::protobuf::{is_message, lease_id};
use crate::report::Problem;

/// etcd has ten; a later one may have some more.
pub(crate) const MAX_BUCKETS: usize = 64;
/// PageHeader of a bucket: the page of its root and a counter that etcd does not use.
const BUCKET_HEADER: usize = 16;

/// A bucket of the root.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) name: Vec<u8>,
    pub(crate) root: BucketRoot,
    /// Where its entry is in the file.
    pub(crate) offset: u64,
}

impl Bucket {
    /// The bucket in an entry of the root.
    pub(crate) fn of(leaf: &LeafElement<'_>, page_size: u64) -> Result<Self, Problem> {
        let problem = |what: String| Problem {
            what,
            offset: Some(leaf.offset),
            hint: "the bytes at this place were changed, or the file is no etcd database".to_owned(),
        };
        if !leaf.is_bucket {
            return Err(problem("the root of the database has an entry that is no bucket".to_owned()));
        }
        let bad = || problem(format!("the bucket {} has a wrong header", leaf.key.escape_ascii()));
        let (header, inside) = leaf.value.split_at_checked(BUCKET_HEADER).ok_or_else(bad)?;
        let page = crate::bytes::le_u64(header, 0).ok_or_else(bad)?;
        // bbolt bucket.go, inlineable: a bucket lies in its entry up to a quarter of a page.
        let root = match page {
            0 if inside.len() as u64 <= page_size / 4 => {
                let offset = leaf.offset + (leaf.key.len() + BUCKET_HEADER) as u64;
                BucketRoot::Inline { bytes: inside.to_vec(), offset, page: leaf.page }
            }
            page if page != 0 && inside.is_empty() => BucketRoot::Page(page),
            _ => return Err(bad()),
        };
        Ok(Bucket { name: leaf.key.to_vec(), root, offset: leaf.offset })
    }
}

/// What the small buckets say.
#[derive(Debug, Default)]
pub(crate) struct SchemaInfo {
    pub(crate) finished_compact: Option<i64>,
    pub(crate) scheduled_compact: Option<i64>,
    pub(crate) storage_version: Option<String>,
    pub(crate) consistent_index: Option<u64>,
    pub(crate) term: Option<u64>,
    pub(crate) leases: u64,
    pub(crate) users: u64,
    pub(crate) roles: u64,
    pub(crate) auth_enabled: bool,
    pub(crate) alarms: u64,
}

impl SchemaInfo {
    /// Takes an entry of any bucket but `key`.
    ///
    /// # Errors
    /// It is none that etcd writes.
    pub(crate) fn entry(&mut self, bucket: &[u8], leaf: &LeafElement<'_>) -> Result<(), Problem> {
        let sound = !leaf.is_bucket
            && match bucket {
                b"meta" => self.meta(leaf.key, leaf.value),
                b"lease" => {
                    self.leases += 1;
                    let id = be_u64(leaf.key).map(u64::cast_signed);
                    id.is_some() && id == lease_id(leaf.value)
                }
                b"auth" => self.auth(leaf.key, leaf.value),
                b"authUsers" => {
                    self.users += 1;
                    is_message(leaf.value)
                }
                b"authRoles" => {
                    self.roles += 1;
                    is_message(leaf.value)
                }
                b"alarm" => {
                    self.alarms += 1;
                    leaf.value.is_empty() && is_message(leaf.key)
                }
                b"members" => is_id(leaf.key) && is_json(leaf.value),
                b"members_removed" => is_id(leaf.key),
                _ => true,
            };
        if sound {
            return Ok(());
        }
        Err(Problem {
            what: format!(
                "the bucket \"{}\" has an entry {} that etcd does not write like this",
                bucket.escape_ascii(),
                shown(leaf.key)
            ),
            offset: Some(leaf.offset),
            hint: "bytes of this entry were changed, or the file was written by something else than etcd".to_owned(),
        })
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> bool {
        match key {
            b"consistent_index" => {
                self.consistent_index = be_u64(value);
                self.consistent_index.is_some()
            }
            b"term" => {
                self.term = be_u64(value);
                self.term.is_some()
            }
            b"finishedCompactRev" => {
                self.finished_compact = main(value);
                self.finished_compact.is_some()
            }
            b"scheduledCompactRev" => {
                self.scheduled_compact = main(value);
                self.scheduled_compact.is_some()
            }
            b"storageVersion" => {
                let text = str::from_utf8(value).ok().filter(|text| is_version(text));
                self.storage_version = text.map(str::to_owned);
                text.is_some()
            }
            b"confState" => is_json(value),
            _ => true,
        }
    }

    fn auth(&mut self, key: &[u8], value: &[u8]) -> bool {
        match key {
            b"authEnabled" => {
                self.auth_enabled = value == [1];
                matches!(value, [0 | 1])
            }
            b"authRevision" => value.len() == 8,
            _ => true,
        }
    }
}

/// The main revision of a compaction.
fn main(value: &[u8]) -> Option<i64> {
    Revision::parse(value).filter(|revision| revision.sub == 0 && !revision.tombstone).map(|revision| revision.main)
}

/// `3.6.0`: a semantic version, whose last part may be more than a number.
fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.splitn(3, '.');
    parts.by_ref().take(2).filter(|part| number(part)).count() == 2
        && parts.next().is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()) && rest.is_ascii())
}

/// A member's ID in hex.
fn is_id(key: &[u8]) -> bool {
    (1..=16).contains(&key.len()) && key.iter().all(u8::is_ascii_hexdigit)
}

/// At least the brackets of a JSON object.
fn is_json(value: &[u8]) -> bool {
    value.first() == Some(&b'{') && value.last() == Some(&b'}')
}

/// A short kind of a key for a message.
fn shown(key: &[u8]) -> String {
    let short = &key[..key.len().min(40)];
    format!("\"{}{}\"", short.escape_ascii(), if short.len() < key.len() { "…" } else { "" })
}
