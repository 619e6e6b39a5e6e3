//! Asks the API server for each permission of a transport.

use futures::future::join_all;

use crate::error::Error;
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::snapshot::{Transport, permissions};

/// What the API server answered for each permission of a transport.
#[derive(Debug, Default)]
pub(super) struct PermissionReview {
    /// The number of required permissions.
    pub required: usize,
    pub granted: usize,
    pub unknown: usize,
    /// The accesses of required permissions that are denied.
    missing: Vec<String>,
    /// The accesses of optional permissions that are denied, each with its consequence.
    pub degraded: Vec<(String, &'static str)>,
    /// The job's expiry can be extended during the copy.
    pub can_extend_ttl: bool,
}

impl PermissionReview {
    /// Returns the error that names all missing permissions.
    pub(super) fn error(&self) -> Option<Error> {
        (!self.missing.is_empty()).then(|| {
            Error::not_allowed(format!("not allowed to {}", self.missing.join(", or to ")))
                .hint("run 'kubectl etcd-backup rbac' to print the rules for an administrator")
        })
    }
}

/// Reviews the permissions for a backup of `member` by `transport`.
pub(super) async fn review_permissions(client: &KubeClient, member: &Member, transport: Transport) -> PermissionReview {
    let permissions = permissions(transport);
    let required = permissions.iter().filter(|permission| permission.is_required()).count();
    let mut review = PermissionReview { required, ..PermissionReview::default() };
    let accesses: Vec<_> = permissions
        .iter()
        .flat_map(|permission| permission.accesses(member).into_iter().map(move |access| (permission, access)))
        .collect();
    let answers = join_all(accesses.iter().map(|(_, access)| client.can_i(access))).await;
    for ((permission, access), answer) in accesses.iter().zip(answers) {
        review.can_extend_ttl |= access.verb == "patch" && answer == Some(true);
        // Some subresources need `create` and `get` from Kubernetes 1.35 on, and only `get` before.
        let needed_later = access.verb == "create" && permission.verbs.contains(&"get") && access.subresource.is_some();
        match (answer, permission.fallback) {
            (Some(true), _) => review.granted += 1,
            (None, _) => review.unknown += 1,
            (Some(false), _) if needed_later => {}
            (Some(false), None) => review.missing.push(access.to_string()),
            (Some(false), Some(fallback)) => review.degraded.push((access.to_string(), fallback)),
        }
    }
    review
}
