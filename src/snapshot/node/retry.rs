//! What may help after a job that failed.

use super::pod_status::Failure;
use crate::error::Error;
use crate::etcd::etcdctl::error::is_tls;
use crate::snapshot::error::TransportError;
use crate::snapshot::etcdctl_failure::{Cause, cause};

/// What the next job does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// It uses other certificates.
    Credentials,
    /// It uses another image.
    Image,
    /// It may read the files of other users.
    OverrideOwner,
}

/// A reason for another job.
#[derive(Debug, PartialEq, Eq)]
pub struct Retry {
    pub fix: Fix,
    /// The error if there is nothing left to change.
    pub error: TransportError,
}

/// Returns what may help after `failure` of a job with this image.
///
/// # Errors
/// Nothing helps.
pub fn next_attempt(failure: Failure, image: &str) -> Result<Retry, TransportError> {
    let fix = match &failure {
        Failure::NoEtcdctl => Fix::Image,
        Failure::Etcdctl(message) | Failure::Probe(message) if cause(message) == Cause::PermissionDenied => {
            let error = Error::failed(format!("the snapshot job cannot read etcd's certificates: {message}"))
                .hint("allow the capability DAC_OVERRIDE for the job, because another user owns the files and the cluster did not let the job override that");
            return Ok(Retry { fix: Fix::OverrideOwner, error: TransportError::Unavailable(error) });
        }
        Failure::Probe(_) => Fix::Credentials,
        Failure::Etcdctl(message) if is_tls(message) => Fix::Credentials,
        _ => return Err(failure.into_error(image)),
    };
    Ok(Retry { fix, error: failure.into_error(image) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(failure: Failure) -> Option<Fix> {
        next_attempt(failure, "etcd:1").ok().map(|retry| retry.fix)
    }

    #[test]
    fn each_failure_leads_to_what_may_help() {
        let denied = "open /pki/server.key: permission denied";
        assert_eq!(fix(Failure::NoEtcdctl), Some(Fix::Image));
        assert_eq!(fix(Failure::Probe(denied.to_owned())), Some(Fix::OverrideOwner));
        assert_eq!(fix(Failure::Etcdctl(denied.to_owned())), Some(Fix::OverrideOwner));
        assert_eq!(fix(Failure::Probe("context deadline exceeded".to_owned())), Some(Fix::Credentials));
        assert_eq!(fix(Failure::Etcdctl("remote error: tls: bad certificate".to_owned())), Some(Fix::Credentials));
        assert_eq!(fix(Failure::Etcdctl("etcdserver: request timed out".to_owned())), None);
        assert_eq!(fix(Failure::Etcdctl("write /snapshot/snapshot.db.part: no space left on device".to_owned())), None);
    }

    #[test]
    fn only_what_was_not_tried_yet_leaves_another_transport_open() {
        let last = |failure| match next_attempt(failure, "etcd:1") {
            Ok(retry) => retry.error,
            Err(error) => error,
        };
        assert!(matches!(last(Failure::NoEtcdctl), TransportError::Unavailable(_)));
        assert!(matches!(last(Failure::Probe("x509: expired".to_owned())), TransportError::Unavailable(_)));
        assert!(matches!(last(Failure::Etcdctl("x509: expired".to_owned())), TransportError::Failed(_)));
        assert!(matches!(last(Failure::Etcdctl("timed out".to_owned())), TransportError::Failed(_)));
    }
}
