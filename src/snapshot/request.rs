//! What a transport is asked for, and what it answers.

use std::time::Duration;

use super::transport::{Transport, TransportPreference};
use crate::error::Error;
use crate::etcd::ClientOptions;
use crate::etcd::Member;
use crate::etcd::credentials::pod_paths::Credentials;

/// How long each part of a backup may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `--deadline`: the whole backup.
    pub deadline: Duration,
    /// `--job-ttl`: how long a finished job outlives a client that disappeared.
    pub job_ttl: Duration,
    /// `--stall-timeout`: the longest time without a byte.
    pub stall_timeout: Duration,
    /// `--pod-running-timeout`: until the job's pod runs.
    pub pod_running_timeout: Duration,
}

/// What to take, and within which limits.
#[derive(Debug)]
pub struct Request<'r> {
    /// The member.
    pub member: &'r Member,
    /// `--transport`.
    pub transport: TransportPreference,
    /// What opens etcd for the transport `direct`.
    pub etcd: &'r ClientOptions,
    /// Certificates to try, in this order, as paths in a container.
    pub credentials: Vec<Credentials>,
    /// The first of them is known to work.
    pub first_verified: bool,
    /// Size of the member's database in bytes.
    pub db_size: Option<u64>,
    /// `--image`.
    pub image: Option<String>,
    /// `--pod-endpoint`.
    pub endpoint: Option<String>,
    pub limits: Limits,
}

impl Request<'_> {
    /// More bytes than any snapshot of this database can have.
    pub(super) fn most(&self) -> u64 {
        self.db_size.map_or(u64::MAX, |size| size.saturating_mul(2).saturating_add(64 << 20))
    }
}

/// How a snapshot came here.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The transport.
    pub transport: Transport,
    /// Where the file lay meanwhile, for those who want to know who could read it.
    pub place: Option<Place>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

/// Where a file lay for the length of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory on the member's node.
    Node(String),
    /// A file in the etcd container.
    Container(String),
}

/// Why there is no whole snapshot.
#[derive(Debug)]
pub enum NotTaken {
    /// It did not come.
    Failed(Error),
    /// Writing it here failed; [`SnapshotWriter::finish`](super::Intake::finish) tells why.
    NotWritten,
}

impl From<Error> for NotTaken {
    fn from(error: Error) -> Self {
        NotTaken::Failed(error)
    }
}

impl From<super::writer::WriterClosed> for NotTaken {
    fn from(_: super::writer::WriterClosed) -> Self {
        NotTaken::NotWritten
    }
}
