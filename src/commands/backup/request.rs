//! Builds the request to a transport from the flags and the status of the member.

use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::etcd::{MemberSet, MemberState};
use crate::snapshot::Request;

/// Returns the request for a snapshot of one member.
pub(super) fn snapshot_request<'r>(
    options: &'r BackupOptions,
    context: &'r Context,
    set: &MemberSet,
    state: &'r MemberState,
) -> Request<'r> {
    let mut credentials = state.credentials.clone();
    // The credentials that worked for the status come first. The sort is stable, so the others keep their order.
    let is_verified = |origin: &str| Some(origin) == set.verified_origin;
    credentials.sort_by_key(|candidate| !(candidate.usable_in_etcd_container && is_verified(candidate.origin)));
    Request {
        member: &state.member,
        transport: options.transport,
        etcd: &context.etcd.client,
        first_verified: credentials.first().is_some_and(|first| is_verified(first.origin)),
        credentials,
        db_size: state.status().map(|status| status.db_size),
        image: options.image.clone(),
        endpoint: context.etcd.pod.endpoint.clone(),
        limits: options.limits,
    }
}
