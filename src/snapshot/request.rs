//! What a transport is asked for, and what it returns.

use std::time::Duration;

use super::transport::{Transport, TransportPreference};
use crate::etcd::ClientOptions;
use crate::etcd::Member;
use crate::etcd::credentials::pod_paths::Credentials;

/// The slowest rate at which etcdctl is expected to write, in bytes a second.
const SLOWEST_SAVE: u64 = 5_000_000;

/// etcd's default quota.
const LARGEST_USUAL: u64 = 8 << 30;

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

impl Limits {
    /// Returns how long etcdctl may take to write the snapshot, from the database's size in bytes if it is known.
    pub(super) fn save_timeout(&self, db_size: Option<u64>) -> Duration {
        let seconds = (db_size.unwrap_or(LARGEST_USUAL) / SLOWEST_SAVE).max(600);
        Duration::from_secs(seconds).min(self.deadline)
    }
}

/// What to take, and within which limits.
#[derive(Debug)]
pub struct Request<'r> {
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
    /// Returns more bytes than any snapshot of this database can have.
    pub(super) fn max_size(&self) -> u64 {
        self.db_size.map_or(u64::MAX, |size| size.saturating_mul(2).saturating_add(64 << 20))
    }
}

/// How a snapshot was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    pub transport: Transport,
    /// Where the cluster had the file during the copy, because others could read it there.
    pub location: Option<RemoteLocation>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

/// Where the cluster had the file during the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteLocation {
    /// A directory on the member's node.
    Node(String),
    /// A file in the etcd container.
    Container(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_database_has_more_time_but_no_more_than_the_deadline() {
        let limits = |deadline| Limits {
            deadline: Duration::from_secs(deadline),
            job_ttl: Duration::ZERO,
            stall_timeout: Duration::ZERO,
            pod_running_timeout: Duration::ZERO,
        };
        assert_eq!(limits(14_400).save_timeout(Some(8_000_000_000)).as_secs(), 1600);
        assert_eq!(limits(14_400).save_timeout(Some(1 << 20)).as_secs(), 600);
        assert_eq!(limits(60).save_timeout(Some(8_000_000_000)).as_secs(), 60);
        assert_eq!(limits(14_400).save_timeout(None).as_secs(), 1717);
    }
}
