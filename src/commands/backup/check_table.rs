//! The checks of a dry run, and the table with their results.

use k8s_openapi::api::batch::v1::Job;

use super::destination::{check_free_space, location};
use super::permission_review::{PermissionReview, review_permissions};
use crate::cli::BackupOptions;
use crate::commands::members::row::MemberRow;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{Member, MemberSet, MemberState, MemberStatus};
use crate::k8s::KubeClient;
use crate::snapshot::{NodePlan, Transport, TransportError, TransportProbe};
use crate::ui::Table;
use crate::util::byte_size::decimal_bytes;

/// The results of the checks so far.
pub(super) struct CheckTable {
    table: Table,
    /// The error that decides the exit code: a refusal comes first.
    worst: Option<Error>,
}

impl CheckTable {
    pub(super) fn new() -> Self {
        CheckTable { table: Table::new(&["CHECK", "RESULT", "DETAIL"]), worst: None }
    }

    /// Returns the lines of the table and the worst error.
    pub(super) fn finish(mut self) -> (Vec<String>, Option<Error>) {
        (self.table.take_lines(), self.worst)
    }

    fn add_ok(&mut self, check: &str, detail: &str) {
        self.table.add_row(&[check, "ok", detail]);
    }

    fn add_warning(&mut self, check: &str, detail: &str) {
        self.table.add_row(&[check, "warning", detail]);
    }

    pub(super) fn add_failure(&mut self, check: &str, error: Error) {
        self.table.add_row(&[check, "failed", error.message()]);
        let comes_first =
            |known: &Error| known.kind() != ErrorKind::NotAllowed && error.kind() == ErrorKind::NotAllowed;
        if self.worst.as_ref().is_none_or(comes_first) {
            self.worst = Some(error);
        }
    }

    /// Checks the member, its pod and the quorum.
    pub(super) fn check_member(&mut self, members: &MemberSet, chosen: &MemberState) {
        let summary = MemberRow::from_set(members, chosen).summary();
        match chosen.status().map(MemberStatus::warning) {
            Some(None) => self.add_ok("member", &summary),
            Some(Some(_)) | None => self.add_warning("member", &summary),
        }
        let member = &chosen.member;
        if member.is_ready() {
            self.add_ok("pod", &format!("{} is ready", member.pod_path()));
        } else {
            let message = format!("pod {} is not ready: {}", member.pod_path(), member.why_not_ready());
            self.add_failure("pod", Error::failed(message).hint("choose another member with --member, or wait"));
        }
        match members.has_quorum() {
            Some(true) => self.add_ok("quorum", "the members know a leader"),
            Some(false) => {
                self.add_warning("quorum", "lost: no member knows a leader; a member can still be backed up");
            }
            None => self.add_warning("quorum", "unknown: no member could be asked"),
        }
    }

    /// Tries the transports in the order of a backup. Returns the job that a backup would create, if any.
    pub(super) async fn check_transports(
        &mut self,
        client: &KubeClient,
        member: &Member,
        mut probe: TransportProbe<'_>,
        db_size: Option<u64>,
    ) -> Option<Job> {
        for transport in probe.transports.clone() {
            let review = review_permissions(client, member, transport).await;
            let (mut job, mut plan) = (None, None);
            let usable = match review.error() {
                Some(error) => Err(TransportError::Unavailable(error)),
                None => match transport {
                    Transport::Direct => probe.direct().await.map(|version| format!("connected to etcd {version}")),
                    Transport::Exec => {
                        probe.exec().await.map(|path| format!("the container has a shell, and enough space in {path}"))
                    }
                    Transport::Node => {
                        let found = probe.node(review.can_extend_ttl).await;
                        let usable = match found.unavailable() {
                            Some(error) => Err(TransportError::Unavailable(error.clone())),
                            None => Ok(transport.description().to_owned()),
                        };
                        plan = Some(found);
                        usable
                    }
                },
            };
            match usable {
                Ok(detail) => {
                    self.add_ok("transport", &format!("{transport}: {detail}"));
                    self.add_permissions(&review);
                    if let Some(plan) = plan {
                        job = self.add_node(&plan, db_size);
                    }
                    return job;
                }
                Err(TransportError::Unavailable(error)) => {
                    if probe.transports.len() > 1 {
                        self.add_warning("transport", &format!("{transport} cannot be used: {}", error.message()));
                    }
                    probe.rule_out(transport, error);
                }
                Err(error) => {
                    self.add_failure("transport", error.into_error());
                    return None;
                }
            }
        }
        self.add_failure("transport", probe.into_error());
        None
    }

    fn add_permissions(&mut self, review: &PermissionReview) {
        for (access, fallback) in &review.degraded {
            self.add_warning("permission", &format!("not allowed to {access}; without it: {fallback}"));
        }
        match review.unknown {
            0 => self.add_ok("permissions", &format!("all {} required rules are granted", review.required)),
            unknown => self.add_warning("permissions", &format!("{} granted, {unknown} unknown", review.granted)),
        }
    }

    /// Adds the results of the node, and returns the job that a backup would create there.
    fn add_node(&mut self, plan: &NodePlan, db_size: Option<u64>) -> Option<Job> {
        let size = db_size.map_or_else(|| "of unknown size".to_owned(), |size| format!("of {}", decimal_bytes(size)));
        match &plan.node {
            Ok(Some(space)) => {
                let free = decimal_bytes(space.available);
                self.add_ok("node", &format!("healthy, serves files, {free} free for a database {size}"));
            }
            Ok(None) => self.add_ok("node", "healthy, serves files"),
            Err(error) => self.add_failure("node", error.clone().into_error()),
        }
        plan.warnings.iter().for_each(|warning| self.add_warning("node", warning));
        if let Some(image) = &plan.image {
            match plan.image_is_there {
                Some(true) => self.add_ok("image", &format!("{image} is on the node")),
                Some(false) => self.add_warning("image", &format!("{image} is not on the node and must be pulled")),
                None => self.add_warning("image", &format!("{image}; it is unknown whether the node has it")),
            }
        }
        match &plan.job {
            Ok(job) => {
                let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
                self.add_ok("job", &format!("one job with one pod would be created in {namespace}"));
                Some(job.clone())
            }
            Err(error) => {
                self.add_failure("job", error.clone().into_error());
                None
            }
        }
    }

    /// Adds the result for the destination, and checks the free space on this machine.
    pub(super) fn check_destination(&mut self, options: &BackupOptions, destination: Result<()>, db_size: Option<u64>) {
        if let Err(error) = destination {
            return self.add_failure("file", error);
        }
        let Some((_, shown)) = location(options) else { return self.add_ok("file", "standard output") };
        match check_free_space(options, db_size) {
            Err(error) => self.add_failure("file", error),
            Ok(Some(free)) => self.add_ok("file", &format!("{shown} can be written, {} free", decimal_bytes(free))),
            Ok(None) => self.add_warning("file", &format!("{shown} can be written; free space is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_decides_the_exit_code_and_otherwise_the_first_failure() {
        let mut table = CheckTable::new();
        table.add_failure("pod", Error::failed("not ready"));
        table.add_failure("node", Error::failed("not enough space"));
        table.add_failure("transport", Error::not_allowed("not allowed to get nodes/proxy"));
        table.add_failure("job", Error::not_allowed("not allowed to create jobs"));
        let (lines, worst) = table.finish();
        assert_eq!(worst.expect("an error").message(), "not allowed to get nodes/proxy");
        assert_eq!(lines.len(), 5);
        let mut table = CheckTable::new();
        table.add_warning("image", "must be pulled");
        table.add_failure("pod", Error::failed("not ready"));
        table.add_failure("node", Error::failed("not enough space"));
        assert_eq!(table.finish().1.expect("an error").message(), "not ready");
    }
}
