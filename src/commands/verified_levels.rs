//! The results of the three levels of verification, as documents and tables name them.

use serde::Serialize;

/// The field `verified` of the documents of a backup and of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct VerifiedLevels {
    /// Whether the sha-256 at the end of the snapshot matches.
    pub checksum: &'static str,
    /// Whether the file is a sound database.
    pub structure: &'static str,
    /// Whether the file holds the data of most members.
    pub members: &'static str,
}
