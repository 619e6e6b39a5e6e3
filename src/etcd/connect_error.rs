//! The error of a connection to etcd, in the classes that decide whether etcd may be reached in another way.

use crate::error::Error;
use crate::k8s::ApiError;

/// Why there is no connection to etcd.
#[derive(Debug)]
pub enum ConnectError {
    /// Refused by the cluster, or not possible here: etcd may be reached in another way.
    Unavailable(Error),
    /// Any other failure.
    Failed(Error),
}

impl ConnectError {
    /// Returns the same error as unavailable if `condition` holds.
    pub fn unavailable_if(self, condition: bool) -> Self {
        match self {
            ConnectError::Failed(error) if condition => ConnectError::Unavailable(error),
            error => error,
        }
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        ConnectError::Failed(error)
    }
}

impl From<ApiError> for ConnectError {
    fn from(error: ApiError) -> Self {
        if error.is_unavailable() {
            ConnectError::Unavailable(error.into())
        } else {
            ConnectError::Failed(error.into())
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unavailable(error) | ConnectError::Failed(error) => error,
        }
    }
}
