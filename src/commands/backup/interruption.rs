//! Messages of a run that a signal ends.

use crate::error::Error;

/// Returns the warning for a second signal, after which the deletion of `resources` is not awaited.
pub(super) fn removal_unconfirmed(resources: &str) -> Error {
    Error::failed(format!("exited before {resources} was removed; it may still exist"))
        .hint("it expires after --job-ttl or --deadline; to delete a job now, run 'kubectl etcd-backup cleanup --all'")
}
