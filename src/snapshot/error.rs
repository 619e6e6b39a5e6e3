//! Why a transport brought no snapshot, and the errors that several transports share.

use k8s_openapi::api::core::v1::Pod;

use super::request::Request;
use super::writer::WriterClosed;
use crate::error::Error;
use crate::etcd::connect_error::ConnectError;
use crate::k8s::{ApiError, KubeClient};

/// Why there is no snapshot, in the classes that decide whether the next transport is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// Refused by the cluster, or not possible here. Before the first byte, the next transport is tried.
    Unavailable(Error),
    /// It was tried and failed.
    Failed(Error),
    /// The bytes could not be written on this machine; [`SnapshotWriter::finish`](super::SnapshotWriter::finish)
    /// returns the reason.
    NotWritten,
}

impl TransportError {
    /// Returns the error as the user sees it.
    pub fn into_error(self) -> Error {
        match self {
            TransportError::Unavailable(error) | TransportError::Failed(error) => error,
            TransportError::NotWritten => Error::failed("cannot write the snapshot"),
        }
    }

    /// Adds a line below the sentence.
    pub(super) fn detail(self, line: impl Into<String>) -> Self {
        match self {
            TransportError::Unavailable(error) => TransportError::Unavailable(error.detail(line)),
            TransportError::Failed(error) => TransportError::Failed(error.detail(line)),
            TransportError::NotWritten => TransportError::NotWritten,
        }
    }

    /// Adds a hint.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            TransportError::Unavailable(error) => TransportError::Unavailable(error.hint(hint)),
            TransportError::Failed(error) => TransportError::Failed(error.hint(hint)),
            TransportError::NotWritten => TransportError::NotWritten,
        }
    }
}

impl From<Error> for TransportError {
    fn from(error: Error) -> Self {
        TransportError::Failed(error)
    }
}

impl From<ApiError> for TransportError {
    fn from(error: ApiError) -> Self {
        if error.is_unavailable() {
            TransportError::Unavailable(error.into())
        } else {
            TransportError::Failed(error.into())
        }
    }
}

impl From<ConnectError> for TransportError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unavailable(error) => TransportError::Unavailable(error),
            ConnectError::Failed(error) => TransportError::Failed(error),
        }
    }
}

impl From<WriterClosed> for TransportError {
    fn from(_: WriterClosed) -> Self {
        TransportError::NotWritten
    }
}

/// Returns an error for what the cluster refuses.
pub(super) fn refused(message: impl Into<String>) -> TransportError {
    TransportError::Unavailable(Error::not_allowed(message))
}

/// Returns an error for what is not possible on this cluster, before anything was tried.
pub(super) fn not_possible(message: impl Into<String>) -> TransportError {
    TransportError::Unavailable(Error::failed(message))
}

pub(super) fn deadline_exceeded() -> Error {
    Error::failed("the copy took longer than --deadline allows")
        .hint("set a longer limit, such as --deadline 12h, on a slow connection")
}

/// Returns the error for a job that this run did not delete. Its TTL may have ended while the API server was
/// unreachable.
pub(super) fn job_deleted(namespace: &str, job: &str) -> Error {
    Error::failed(format!(
        "job {namespace}/{job} was deleted while the snapshot was taken, by another user or because its TTL ended"
    ))
    .hint("run the backup again; on a slow or unstable connection set a longer --job-ttl")
}

/// Replaces the error of a copy if the member's pod was replaced or restarted, because that explains it better than a
/// connection that broke.
pub(super) async fn explain_pod_change(
    client: &KubeClient,
    request: &Request<'_>,
    error: TransportError,
) -> TransportError {
    if error == TransportError::NotWritten {
        return error;
    }
    let member = request.member;
    let container = |pod: &Pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name == member.container.name)?.container_id.clone()
    };
    let change = match client.pod(&member.namespace, &member.pod_name).await {
        Ok(now) if now.metadata.uid != member.pod.metadata.uid => "was replaced",
        Ok(now) if container(&now) != container(&member.pod) => "was restarted",
        Err(failure) if failure.is_not_found() => "was deleted",
        _ => return error,
    };
    let cause = error.into_error();
    Error::failed(format!("pod {} {change} while the snapshot was taken: {}", member.pod_path(), cause.message()))
        .hint("run the backup again")
        .into()
}
