//! What may help after a job that failed.

use super::pod_status::Failure;
use crate::error::Error;
use crate::etcd::etcdctl::error::is_tls;
use crate::snapshot::error::TransportError;
use crate::snapshot::etcdctl_failure::{Cause, cause};

/// What the next job does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextChange {
    /// It uses other certificates.
    Credentials,
    /// It uses another image.
    Image,
    /// It may read the files of other users.
    OverrideOwner,
}

/// A reason for another job.
#[derive(Debug, PartialEq, Eq)]
pub struct RetryReason {
    pub change: NextChange,
    /// The error if there is nothing left to change.
    pub error: TransportError,
}

/// Returns what may help after `failure` of a job with this image.
///
/// # Errors
/// Nothing helps.
pub fn reason_to_retry(failure: Failure, image: &str) -> Result<RetryReason, TransportError> {
    let change = match &failure {
        Failure::NoEtcdctl => NextChange::Image,
        Failure::Etcdctl(message) | Failure::Probe(message) if cause(message) == Cause::PermissionDenied => {
            let error = Error::failed(format!("the snapshot job cannot read etcd's certificates: {message}"))
                .hint("allow the capability DAC_OVERRIDE for the job, because another user owns the files and the cluster did not let the job override that");
            return Ok(RetryReason { change: NextChange::OverrideOwner, error: TransportError::Unavailable(error) });
        }
        Failure::Probe(_) => NextChange::Credentials,
        Failure::Etcdctl(message) if is_tls(message) => NextChange::Credentials,
        _ => return Err(failure.into_error(image)),
    };
    Ok(RetryReason { change, error: failure.into_error(image) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(failure: Failure) -> Option<NextChange> {
        reason_to_retry(failure, "etcd:1").ok().map(|retry| retry.change)
    }

    #[test]
    fn each_failure_leads_to_what_may_help() {
        let denied = "open /pki/server.key: permission denied";
        assert_eq!(change(Failure::NoEtcdctl), Some(NextChange::Image));
        assert_eq!(change(Failure::Probe(denied.to_owned())), Some(NextChange::OverrideOwner));
        assert_eq!(change(Failure::Etcdctl(denied.to_owned())), Some(NextChange::OverrideOwner));
        assert_eq!(change(Failure::Probe("context deadline exceeded".to_owned())), Some(NextChange::Credentials));
        assert_eq!(
            change(Failure::Etcdctl("remote error: tls: bad certificate".to_owned())),
            Some(NextChange::Credentials)
        );
        assert_eq!(change(Failure::Etcdctl("etcdserver: request timed out".to_owned())), None);
        assert_eq!(
            change(Failure::Etcdctl("write /snapshot/snapshot.db.part: no space left on device".to_owned())),
            None
        );
    }

    #[test]
    fn only_what_was_not_tried_yet_leaves_another_transport_open() {
        let last = |failure| match reason_to_retry(failure, "etcd:1") {
            Ok(retry) => retry.error,
            Err(error) => error,
        };
        assert!(matches!(last(Failure::NoEtcdctl), TransportError::Unavailable(_)));
        assert!(matches!(last(Failure::Probe("x509: expired".to_owned())), TransportError::Unavailable(_)));
        assert!(matches!(last(Failure::Etcdctl("x509: expired".to_owned())), TransportError::Failed(_)));
        assert!(matches!(last(Failure::Etcdctl("timed out".to_owned())), TransportError::Failed(_)));
    }
}
