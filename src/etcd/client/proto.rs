//! The messages of etcd's API that are used, written down by hand: a compiler for them at build time would be one
//! more program that users need.
//!
//! Names and numbers are those of etcd's `api/etcdserverpb/rpc.proto` (3.6); a field that an older etcd does not send
//! has its zero value.

#![allow(missing_docs)]

use bytes::Bytes;

/// In front of every answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    #[prost(int64, tag = "3")]
    pub revision: i64,
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

/// A part of a snapshot. The parts are pages of the database; the last one is the sha-256 of all others.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotPart {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// Bytes of the database behind this part, the checksum not counted.
    #[prost(uint64, tag = "2")]
    pub remaining_bytes: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub blob: Bytes,
    /// Version of the storage's form (3.6 and newer).
    #[prost(string, tag = "4")]
    pub version: String,
}

/// How a member fares.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
    #[prost(uint64, tag = "6")]
    pub raft_term: u64,
    #[prost(uint64, tag = "7")]
    pub raft_applied_index: u64,
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
    #[prost(string, tag = "11")]
    pub storage_version: String,
    #[prost(int64, tag = "12")]
    pub db_size_quota: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HashKvRequest {
    /// 0 is the newest.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// The hash of a member's keys at a revision.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HashKv {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(uint32, tag = "2")]
    pub hash: u32,
    #[prost(int64, tag = "3")]
    pub compact_revision: i64,
    /// The revision of the hash (3.6 and newer).
    #[prost(int64, tag = "4")]
    pub hash_revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListRequest {
    /// A list that is agreed on needs a quorum.
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<ListedMember>,
}

/// A member as the others know it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListedMember {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

/// Its `Debug` form would show the password, so it is never logged.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub password: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuthenticateResponse {
    #[prost(string, tag = "2")]
    pub token: String,
}
