//! Asking the members what they hold, for the comparison with a file.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;

use super::content::{Round, Voter};
use super::field::Field;
use crate::cli::Cli;
use crate::cluster::Cluster;
use crate::etcd::hashkv::{self, Limits};
use crate::etcd::{MemberStatus, status};

/// The members of one cluster, ready to be asked.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) field: &'a Field,
    pub(super) endpoint: Option<&'a str>,
    pub(super) limits: Limits,
}

impl<'a> Asking<'a> {
    /// With the limits of the backup's flags.
    pub(super) fn for_backup(cli: &'a Cli, cluster: &'a Cluster, field: &'a Field) -> Self {
        let content = &cli.backup.content;
        let limits = Limits { max_size: content.content_max_size, time: content.content_timeout };
        Asking { cluster, field, endpoint: cli.backup.pod_endpoint.as_deref(), limits }
    }

    /// The hash of each member that may be asked, at `revision`; what is known from an `earlier` round is not asked for
    /// again. Their state is looked at anew: an alarm or another leader may have come since the members were last
    /// asked.
    pub(super) async fn round(&self, revision: i64, earlier: Option<&Round>) -> Round {
        let Field { members, candidates, worked, .. } = self.field;
        let now = status::gather(self.cluster, members, candidates, self.endpoint).await.of;
        let ask = async |index: usize| {
            if let Some(known) = earlier.and_then(|round| round.answer(index, revision)) {
                return Ok(known);
            }
            let mut usable = candidates[index].iter().filter(|candidate| candidate.in_member);
            let credentials = usable.find(|candidate| worked.is_none_or(|worked| worked == candidate.origin));
            let member = &members[index];
            hashkv::by_exec(self.cluster, member, credentials, self.endpoint, revision, self.limits.time).await
        };
        Round { replies: hashkv::gather(&now, self.limits, ask).await }
    }

    /// The round that a slow copy needs: at the revision that `member` had before anything was done, which etcd may have
    /// forgotten when the copy ends. By then the file is sure to hold it, as the copy has begun. A copy that has
    /// `arrived` within `after` needs none, and by then etcd has read the whole database of `member` into memory, which
    /// makes its hash cheap.
    pub(super) async fn while_copying(
        &self,
        begun: impl Future<Output = bool>,
        arrived: &Notify,
        after: Duration,
        member: usize,
    ) -> Option<Round> {
        let revision = self.revision_of(member)?;
        let due = async { begun.await && (tokio::time::sleep(after).await, true).1 };
        tokio::select! {
            biased;
            () = arrived.notified() => None,
            due = due => if due { Some(self.round(revision, None).await) } else { None },
        }
    }

    /// The revision that a member had when it was looked at first.
    pub(super) fn revision_of(&self, member: usize) -> Option<i64> {
        let status = self.field.statuses[member].as_ref()?;
        i64::try_from(status.revision).ok().filter(|revision| *revision > 0)
    }

    /// The members as they are named and counted.
    pub(super) fn voters(&self) -> Vec<Voter> {
        let members = self.field.members.iter().zip(&self.field.statuses);
        members
            .map(|(member, status)| Voter {
                name: member.name.clone(),
                votes: !status.as_ref().is_some_and(|status: &MemberStatus| status.learner),
            })
            .collect()
    }
}
