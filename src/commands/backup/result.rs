//! The result of a backup.

use std::time::Duration;

use super::document::BackupDocument;
use crate::error::Error;

/// A backup of which every byte arrived.
pub(super) struct BackupResult {
    pub document: BackupDocument,
    pub duration: Duration,
    /// The file has the requested name.
    pub is_verified: bool,
    /// The error for a bad file or a bad member.
    pub error: Option<Error>,
}
