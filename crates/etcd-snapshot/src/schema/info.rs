//! What is in the buckets other than `key`.
//!
//! Source: etcd `server/storage/schema` (cindex.go, lease.go, alarm.go, auth.go, membership.go and version.go), the same
//! from 3.4 to 3.7 apart from what each version added.

use std::collections::HashSet;

use super::buckets::META_BUCKET;
use super::json_values::{is_conf_state, is_downgrade, is_member};
use super::version::is_version;
use crate::bytes::be_u64;
use crate::error::Problem;
use crate::mvcc::Revision;
use crate::page::LeafElement;
use crate::protobuf::{is_alarm, lease_id, role_name, user_name};

/// The figures from the buckets other than `key`.
#[derive(Debug, Default)]
pub(crate) struct SchemaInfo {
    pub(crate) finished_compact: Option<i64>,
    pub(crate) scheduled_compact: Option<i64>,
    pub(crate) storage_version: Option<String>,
    pub(crate) consistent_index: Option<u64>,
    pub(crate) term: Option<u64>,
    /// The IDs of the leases.
    pub(crate) leases: HashSet<i64>,
    pub(crate) users: u64,
    pub(crate) roles: u64,
    pub(crate) auth_enabled: bool,
    pub(crate) alarms: u64,
}

impl SchemaInfo {
    /// Takes an entry of a bucket other than `key`. Entries of unknown buckets are accepted.
    ///
    /// # Errors
    /// etcd does not write such an entry.
    pub(crate) fn add_element(&mut self, bucket: &[u8], element: &LeafElement<'_>) -> Result<(), Problem> {
        let LeafElement { key, value, .. } = *element;
        let is_sound = !element.is_bucket
            && match bucket {
                META_BUCKET => self.add_meta(key, value),
                b"lease" => {
                    let id = be_u64(key).map(u64::cast_signed);
                    self.leases.extend(id);
                    id.is_some() && id == lease_id(value)
                }
                b"auth" => self.add_auth(key, value),
                b"authUsers" => {
                    self.users += 1;
                    user_name(value) == Some(key)
                }
                b"authRoles" => {
                    self.roles += 1;
                    role_name(value) == Some(key)
                }
                b"alarm" => {
                    self.alarms += 1;
                    value.is_empty() && is_alarm(key)
                }
                b"members" => member_id(key).is_some_and(|id| is_member(value, id)),
                b"members_removed" => member_id(key).is_some(),
                b"cluster" => match key {
                    b"clusterVersion" => str::from_utf8(value).is_ok_and(is_version),
                    b"downgrade" => is_downgrade(value),
                    _ => true,
                },
                _ => true,
            };
        if is_sound {
            return Ok(());
        }
        Err(Problem {
            what: format!(
                "the bucket \"{}\" has an entry {} that etcd does not write like this",
                bucket.escape_ascii(),
                abbreviated(key)
            ),
            offset: Some(element.offset),
            hint: "bytes of this entry were changed, or another program than etcd wrote it: take the snapshot again"
                .to_owned(),
        })
    }

    fn add_meta(&mut self, key: &[u8], value: &[u8]) -> bool {
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
                self.finished_compact = main_revision(value);
                self.finished_compact.is_some()
            }
            b"scheduledCompactRev" => {
                self.scheduled_compact = main_revision(value);
                self.scheduled_compact.is_some()
            }
            b"storageVersion" => {
                let text = str::from_utf8(value).ok().filter(|text| is_version(text));
                self.storage_version = text.map(str::to_owned);
                text.is_some()
            }
            b"confState" => is_conf_state(value),
            _ => true,
        }
    }

    fn add_auth(&mut self, key: &[u8], value: &[u8]) -> bool {
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

/// Returns the main revision of a compaction.
fn main_revision(value: &[u8]) -> Option<i64> {
    Revision::parse(value).filter(|revision| revision.sub == 0 && !revision.tombstone).map(|revision| revision.main)
}

/// Returns the ID of a member from its hexadecimal text.
fn member_id(key: &[u8]) -> Option<u64> {
    let text = str::from_utf8(key).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(text, 16).ok()
}

/// Returns a key, shortened for a message.
fn abbreviated(key: &[u8]) -> String {
    let short = &key[..key.len().min(40)];
    format!("\"{}{}\"", short.escape_ascii(), if short.len() < key.len() { "…" } else { "" })
}
