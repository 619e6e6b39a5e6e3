//! The transport `direct`: etcd's own snapshot call, over a connection to the member's pod.
//!
//! Nothing is written on the node. The price is that etcd holds a read transaction for as long as the copy takes, so
//! that its database file grows with what is written meanwhile.

use std::io::Write;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::SnapshotWriter;
use super::request::{NotTaken, Request, Taken};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::etcd::client::{EtcdClient, Snapshot};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::k8s::KubeClient;
use crate::util::events::Events;
use crate::util::progress::Progress;

/// The longest wait for an answer of etcd before the first byte.
const ANSWER: Duration = Duration::from_secs(20);

/// After this time the read transaction is worth a word.
const LONG: Duration = Duration::from_secs(600);

/// etcd sends empty parts for ever when it cannot read its database to the end (its
/// `server/etcdserver/api/v3rpc/maintenance.go`: the pipe ends, the count does not); one may come at the end.
const EMPTY_PARTS: u32 = 16;

/// Length of the checksum behind the database, which `remaining_bytes` does not count.
const CHECKSUM: u64 = 32;

/// Takes the snapshot and hands its bytes to `writer`, which verifies the checksum.
pub(super) async fn take<W: Write + Send + 'static>(
    cluster: &KubeClient,
    request: &Request<'_>,
    opening: &ClientConfig,
    writer: &SnapshotWriter<W>,
    events: &dyn Events,
) -> Result<Taken, NotTaken> {
    let until = Instant::now() + request.limits.deadline;
    let limit = ANSWER.min(request.limits.stall_timeout);
    let mut rpc = EtcdClient::connect(cluster, request.member, opening, limit).await.map_err(Error::from)?;
    // The first call shows whether etcd accepts the certificate and the user.
    let status = rpc.status(limit).await?;
    let size = u64::try_from(status.db_size).ok().or(request.db_size);
    let snapshot = rpc.snapshot(limit).await?;
    let progress = events.copy_progress(size);
    let mut parts = Parts {
        snapshot,
        stall: request.limits.stall_timeout,
        reminder: Reminder { after: LONG, told: false },
        count: Count::default(),
    };
    // From outside: a writer that takes no more bytes must not hold the copy beyond its time.
    let copied = tokio::select! {
        copied = parts.copy(writer, progress.as_ref(), events) => copied,
        () = tokio::time::sleep_until(until.into()) => Err(deadline_exceeded().into()),
    };
    match copied {
        Ok(()) => {
            progress.finish();
            Ok(Taken { transport: Transport::Direct, place: None, warnings: Vec::new() })
        }
        Err(NotTaken::Failed(error)) => {
            progress.abandon();
            Err(NotTaken::Failed(same_pod(cluster, request, error).await))
        }
        Err(not_written) => {
            progress.abandon();
            Err(not_written)
        }
    }
}

/// A pod that was replaced or restarted is a better explanation than a connection that broke.
pub(super) async fn same_pod(cluster: &KubeClient, request: &Request<'_>, error: Error) -> Error {
    let member = request.member;
    let container = |pod: &Pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name == member.container.name)?.container_id.clone()
    };
    let what = match cluster.pod(&member.namespace, &member.pod_name).await {
        Ok(now) if now.metadata.uid != member.pod.metadata.uid => "was replaced",
        Ok(now) if container(&now) != container(&member.pod) => "was restarted",
        Err(failure) if failure.is_not_found() => "was removed",
        _ => return error,
    };
    Error::failed(format!("pod {} {what} while the snapshot was taken: {}", member.pod_path(), error.message()))
        .hint("run the backup again")
}

struct Parts<'r> {
    snapshot: Snapshot<'r>,
    /// The longest time without a byte.
    stall: Duration,
    reminder: Reminder,
    count: Count,
}

/// The word about the read transaction, once.
struct Reminder {
    after: Duration,
    told: bool,
}

impl Reminder {
    fn is_due(&mut self, elapsed: Duration) -> bool {
        let due = !self.told && elapsed > self.after;
        self.told |= due;
        due
    }
}

/// What etcd said of the length, against what came.
#[derive(Debug, Default)]
struct Count {
    received: u64,
    total: Option<u64>,
    remaining: u64,
    empty: u32,
}

impl Count {
    fn part(&mut self, length: u64, remaining: u64) -> Result<()> {
        self.received += length;
        self.remaining = remaining;
        let total = *self.total.get_or_insert(self.received.saturating_add(remaining));
        if self.received > total.saturating_add(CHECKSUM) {
            return Err(Error::failed(format!(
                "the snapshot does not end: {} bytes arrived, and etcd announced {total}",
                self.received
            )));
        }
        self.empty = if length == 0 { self.empty + 1 } else { 0 };
        if self.empty > EMPTY_PARTS {
            return Err(Error::failed(format!(
                "etcd cannot read its database to the end: it sends empty parts with {remaining} bytes to go"
            ))
            .hint("suspect the disk of that member: look at etcd's log, and choose another one with --member"));
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.remaining == 0 {
            return Ok(());
        }
        Err(Error::failed(format!("etcd ended the snapshot with {} bytes to go", self.remaining)))
    }
}

impl Parts<'_> {
    async fn copy<W: Write + Send + 'static>(
        &mut self,
        writer: &SnapshotWriter<W>,
        progress: &dyn Progress,
        events: &dyn Events,
    ) -> Result<(), NotTaken> {
        let start = Instant::now();
        let mut last_byte = start;
        loop {
            if self.reminder.is_due(start.elapsed()) {
                events.warn("the copy takes long: etcd holds a read transaction for all of it, and its database file grows with what is written meanwhile; the transport node does not need that");
            }
            let patience = self.stall.saturating_sub(last_byte.elapsed());
            let Ok(part) = tokio::time::timeout(patience, self.snapshot.next()).await else {
                return Err(self.stalled().into());
            };
            let Some(part) = part? else {
                self.count.end()?;
                return Ok(());
            };
            self.count.part(part.blob.len() as u64, part.remaining_bytes)?;
            if part.blob.is_empty() {
                continue;
            }
            // A slow disk, or a slow reader of standard output, is no stall of the cluster.
            writer.push(part.blob).await?;
            last_byte = Instant::now();
            progress.set_length(self.count.total.unwrap_or_default() + CHECKSUM);
            progress.set_position(self.count.received);
        }
    }

    fn stalled(&self) -> Error {
        Error::failed(format!(
            "the copy stalled: no byte from etcd for {}s, after {} bytes",
            self.stall.as_secs_f32(),
            self.count.received
        ))
        .hint("run the backup again; --stall-timeout sets the limit")
    }
}

pub(super) fn deadline_exceeded() -> Error {
    Error::failed("the copy took longer than --deadline allows")
        .hint("a slow line needs a longer one, such as --deadline 12h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_what_was_announced() {
        let mut count = Count::default();
        count.part(4096, 4096).expect("the first");
        count.part(4096, 0).expect("the last page");
        count.part(32, 0).expect("the checksum");
        count.end().expect("all of it");
        assert!(count.part(1, 0).is_err(), "nothing may follow");
    }

    #[test]
    fn an_end_before_the_last_byte_is_no_end() {
        let mut count = Count::default();
        count.part(4096, 4096).expect("the first");
        assert!(count.end().expect_err("4096 are missing").message().contains("4096 bytes to go"));
    }

    #[test]
    fn a_long_copy_is_mentioned_once() {
        let mut reminder = Reminder { after: LONG, told: false };
        let due: Vec<bool> = [1, 600, 601, 900].map(|seconds| reminder.is_due(Duration::from_secs(seconds))).to_vec();
        assert_eq!(due, [false, false, true, false]);
    }

    #[test]
    fn empty_parts_for_ever_are_an_error_of_the_member() {
        let mut count = Count::default();
        count.part(4096, 8192).expect("the first");
        let error = (0..100).find_map(|_| count.part(0, 8192).err()).expect("it does not go on for ever");
        assert!(error.message().contains("cannot read its database"));
    }
}
