//! The transport `direct`: etcd's own snapshot call, over a connection to the member's pod.
//!
//! Nothing is written on the node. The cost is that etcd holds a read transaction during the copy, so that its database
//! file grows with everything that is written in that time.

use std::time::{Duration, Instant};

use super::error::{TransportError, deadline_exceeded, explain_pod_change};
use super::request::{Request, Taken};
use super::stall::{RETRY_HINT, StallTimer};
use super::transport::Transport;
use super::writer::{CHECKSUM_LENGTH, SnapshotWriter};
use crate::error::{Error, Result};
use crate::etcd::client::{EtcdClient, Snapshot, StatusResponse};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::k8s::KubeClient;
use crate::util::events::Events;
use crate::util::progress::Progress;

/// The longest wait for an answer of etcd before the first byte.
const ANSWER: Duration = Duration::from_secs(20);

/// The age of the read transaction at which the user is warned.
const LONG: Duration = Duration::from_secs(600);

/// etcd sends empty parts without end if it cannot read its database (its
/// `server/etcdserver/api/v3rpc/maintenance.go`: the pipe ends, the count does not). One may come at the end.
const EMPTY_PARTS: u32 = 16;

/// Takes the snapshot and pushes its bytes to `writer`, which verifies the checksum.
pub(super) async fn take(
    client: &KubeClient,
    request: &Request<'_>,
    config: &ClientConfig,
    writer: &SnapshotWriter,
    events: &dyn Events,
) -> Result<Taken, TransportError> {
    let until = Instant::now() + request.limits.deadline;
    let limit = ANSWER.min(request.limits.stall_timeout);
    let (mut etcd, status) = connect(client, request, config, limit).await?;
    let size = u64::try_from(status.db_size).ok().or(request.db_size);
    let snapshot = etcd.snapshot(limit).await?;
    let progress = events.copy_progress(size);
    let mut copy = Copy {
        snapshot,
        stall: StallTimer::new(request.limits.stall_timeout),
        reminder: Reminder { after: LONG, given: false },
        count: Count::default(),
    };
    // From outside: a writer that accepts no more bytes must not hold the copy beyond its time.
    let copied = tokio::select! {
        copied = copy.run(writer, progress.as_ref(), events) => copied,
        () = tokio::time::sleep_until(until.into()) => Err(deadline_exceeded().into()),
    };
    match copied {
        Ok(()) => {
            progress.finish();
            Ok(Taken { transport: Transport::Direct, location: None, warnings: Vec::new() })
        }
        Err(error) => {
            progress.abandon();
            Err(explain_pod_change(client, request, error).await)
        }
    }
}

/// Connects to etcd. The first call, its status, shows whether etcd accepts the certificate and the user.
pub(super) async fn connect(
    client: &KubeClient,
    request: &Request<'_>,
    config: &ClientConfig,
    limit: Duration,
) -> Result<(EtcdClient, StatusResponse), TransportError> {
    let mut etcd = EtcdClient::connect(client, request.member, config, limit).await?;
    match etcd.status(limit).await {
        Ok(status) => Ok((etcd, status)),
        Err(error) if etcd.has_no_listener() => Err(TransportError::Unavailable(error)),
        Err(error) => Err(TransportError::Failed(error)),
    }
}

/// The warning about the read transaction, once.
struct Reminder {
    after: Duration,
    given: bool,
}

impl Reminder {
    fn is_due(&mut self, elapsed: Duration) -> bool {
        let due = !self.given && elapsed > self.after;
        self.given |= due;
        due
    }
}

/// Compares the bytes that arrived with the length that etcd announced.
#[derive(Debug, Default)]
struct Count {
    received: u64,
    total: Option<u64>,
    remaining: u64,
    empty: u32,
}

impl Count {
    /// Counts a part of `length` bytes. `remaining` is what etcd says follows, without the checksum.
    fn add(&mut self, length: u64, remaining: u64) -> Result<()> {
        self.received += length;
        self.remaining = remaining;
        let total = *self.total.get_or_insert(self.received.saturating_add(remaining));
        if self.received > total.saturating_add(CHECKSUM_LENGTH as u64) {
            return Err(Error::failed(format!(
                "the snapshot does not end: {} bytes arrived, and etcd announced {total}",
                self.received
            )));
        }
        self.empty = if length == 0 { self.empty + 1 } else { 0 };
        if self.empty > EMPTY_PARTS {
            return Err(Error::failed(format!(
                "etcd cannot read its database to the end: it sends empty parts with {remaining} bytes missing"
            ))
            .hint("check etcd's log and the disk of that member, and choose another member with --member"));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<()> {
        if self.remaining == 0 {
            return Ok(());
        }
        Err(Error::failed(format!("etcd ended the snapshot with {} bytes missing", self.remaining)))
    }
}

struct Copy<'r> {
    snapshot: Snapshot<'r>,
    stall: StallTimer,
    reminder: Reminder,
    count: Count,
}

impl Copy<'_> {
    async fn run(
        &mut self,
        writer: &SnapshotWriter,
        progress: &dyn Progress,
        events: &dyn Events,
    ) -> Result<(), TransportError> {
        let start = Instant::now();
        loop {
            if self.reminder.is_due(start.elapsed()) {
                events.warn("the copy takes long: etcd holds a read transaction until it ends, so the database file grows with every write; --transport node avoids this");
            }
            let Ok(part) = tokio::time::timeout(self.stall.remaining(), self.snapshot.next()).await else {
                let error = self.stall.error("the copy stalled", "etcd", self.count.received, None);
                return Err(error.hint(RETRY_HINT).into());
            };
            let Some(part) = part? else {
                return Ok(self.count.check_end()?);
            };
            self.count.add(part.blob.len() as u64, part.remaining_bytes)?;
            if part.blob.is_empty() {
                continue;
            }
            // A slow disk, or a slow reader of standard output, is not a stall of the cluster.
            writer.push(part.blob).await?;
            self.stall.reset();
            progress.set_length(self.count.total.unwrap_or_default() + CHECKSUM_LENGTH as u64);
            progress.set_position(self.count.received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_what_was_announced() {
        let mut count = Count::default();
        count.add(4096, 4096).expect("the first");
        count.add(4096, 0).expect("the last page");
        count.add(32, 0).expect("the checksum");
        count.check_end().expect("all of it");
        assert!(count.add(1, 0).is_err(), "nothing may follow");
    }

    #[test]
    fn an_end_before_the_last_byte_is_an_error() {
        let mut count = Count::default();
        count.add(4096, 4096).expect("the first");
        assert!(count.check_end().expect_err("4096 are missing").message().contains("4096 bytes missing"));
    }

    #[test]
    fn a_long_copy_is_mentioned_once() {
        let mut reminder = Reminder { after: LONG, given: false };
        let due: Vec<bool> = [1, 600, 601, 900].map(|seconds| reminder.is_due(Duration::from_secs(seconds))).to_vec();
        assert_eq!(due, [false, false, true, false]);
    }

    #[test]
    fn empty_parts_without_end_are_an_error_of_the_member() {
        let mut count = Count::default();
        count.add(4096, 8192).expect("the first");
        let error = (0..100).find_map(|_| count.add(0, 8192).err()).expect("it ends");
        assert!(error.message().contains("cannot read its database"));
    }
}
