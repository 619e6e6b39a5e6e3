//! The document of a backup, which `-o json` and `-o yaml` print.

use serde::Serialize;

use crate::commands::verified_levels::VerifiedLevels;
use crate::etcd::MemberState;
use crate::snapshot::{RemoteLocation, Taken};
use crate::verification::member_check::MemberCheck;
use crate::verification::structure::StructureCheck;

/// A backup of which every byte arrived. Field names are in camelCase, as in Kubernetes. A field whose value is unknown
/// is null.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupDocument {
    /// The path, or `-` for standard output.
    pub file: String,
    pub size_bytes: u64,
    /// SHA-256 of the whole file, as `sha256sum` prints it.
    pub sha256: String,
    pub cluster: DocumentCluster,
    pub member: DocumentMember,
    pub etcd_version: Option<String>,
    pub kubernetes_version: Option<String>,
    /// The newest revision in the file. If the structure was not checked: the revision of the member before the backup;
    /// the file holds that one or a later one.
    pub revision: Option<i64>,
    /// The hash of `etcdutl snapshot status`; null if the structure was not checked or is not sound.
    pub hash: Option<u32>,
    pub transport: &'static str,
    pub verified: VerifiedLevels,
    /// The result of `--read-back`; null without it.
    pub read_back: Option<&'static str>,
    /// Where the file was on the node during the run (transport `node`).
    pub node_directory: Option<String>,
    /// Where the file was in the etcd container during the run (transport `exec`).
    pub container_file: Option<String>,
    /// Start of the run, RFC 3339.
    pub started_at: String,
    pub duration_seconds: f64,
    pub warnings: Vec<String>,
}

/// The field `cluster`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DocumentCluster {
    /// URL of the API server.
    pub server: String,
    /// The kubeconfig context.
    pub context: Option<String>,
    /// UID of the namespace kube-system.
    pub uid: Option<String>,
}

/// The field `member`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DocumentMember {
    /// Name in etcd.
    pub name: String,
    /// Member ID in hex, as etcdctl prints it.
    pub id: Option<String>,
    /// `namespace/pod`.
    pub pod: String,
    pub node: String,
}

impl DocumentMember {
    pub(super) fn new(state: &MemberState) -> Self {
        DocumentMember {
            name: state.member.name.clone(),
            id: state.status().map(|status| format!("{:x}", status.id)),
            pod: state.member.pod_path(),
            node: state.member.node.clone(),
        }
    }
}

/// Returns the field `verified`. The checksum is always verified, because otherwise there is no document.
pub(super) fn verified_levels(structure_check: &StructureCheck, members: &MemberCheck) -> VerifiedLevels {
    VerifiedLevels { checksum: "verified", structure: structure_check.label(), members: members.label() }
}

/// Returns where the file was during the copy: the directory on the node, and the file in the etcd container.
pub(super) fn remote_paths(taken: &Taken) -> (Option<String>, Option<String>) {
    match &taken.location {
        Some(RemoteLocation::Node(path)) => (Some(path.clone()), None),
        Some(RemoteLocation::Container(path)) => (None, Some(path.clone())),
        None => (None, None),
    }
}
