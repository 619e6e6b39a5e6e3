//! The document of a backup: what `-o json` and `-o yaml` print.

use serde::Serialize;

use crate::etcd::MemberState;
use crate::snapshot::{Place, Taken};
use crate::verification::integrity::{IntegrityResult, MemberCheck};

/// A backup whose bytes all arrived. Field names are camelCase, as Kubernetes writes them; a field that could not be learned is
/// null.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupDocument {
    /// The file, or `-` for standard output.
    pub file: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the whole file, as `sha256sum` prints it.
    pub sha256: String,
    /// The cluster.
    pub cluster: ClusterPart,
    /// The member.
    pub member: MemberPart,
    /// etcd's version.
    pub etcd_version: Option<String>,
    /// The API server's version.
    pub kubernetes_version: Option<String>,
    /// The newest revision in the file; where its structure was not looked at, the one that the member had before, and
    /// the file holds this one or a later one.
    pub revision: Option<i64>,
    /// The hash of `etcdutl snapshot status`; null where the structure was not looked at or is not sound.
    pub hash: Option<u32>,
    /// How the snapshot came here.
    pub transport: &'static str,
    /// How far it is verified.
    pub verified: Verified,
    /// Where the file lay on the node meanwhile (transport `node`).
    pub node_directory: Option<String>,
    /// Where the file lay in the etcd container meanwhile (transport `exec`).
    pub container_file: Option<String>,
    /// Start of the run, RFC 3339.
    pub started_at: String,
    /// Duration of the run in seconds.
    pub duration_seconds: f64,
    /// What was not as it should be, or could not be learned.
    pub warnings: Vec<String>,
}

/// Which cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterPart {
    /// URL of the API server.
    pub server: String,
    /// The kubeconfig context.
    pub context: Option<String>,
    /// UID of the namespace kube-system.
    pub uid: Option<String>,
}

/// Which member.
#[derive(Debug, Clone, Serialize)]
pub struct MemberPart {
    /// Name in etcd.
    pub name: String,
    /// Member ID in hex, as etcdctl prints it.
    pub id: Option<String>,
    /// `namespace/pod`.
    pub pod: String,
    /// The node.
    pub node: String,
}

/// What each level found: `verified`, or what else came of it; a level that was not checked says so.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Every byte arrived: the sha-256 at the end of the snapshot matches.
    pub checksum: &'static str,
    /// The file is a sound database.
    pub structure: &'static str,
    /// The file holds what most of the members hold.
    pub members: &'static str,
}

impl MemberPart {
    pub fn new(state: &MemberState) -> Self {
        MemberPart {
            name: state.member.name.clone(),
            id: state.status().map(|status| format!("{:x}", status.id)),
            pod: state.member.pod_path(),
            node: state.member.node.clone(),
        }
    }
}

impl Verified {
    /// The checksum always matches: without it there is no document.
    pub fn new(integrity: &IntegrityResult, members: &MemberCheck) -> Self {
        Verified { checksum: "verified", structure: integrity.label(), members: members.label() }
    }
}

/// Returns where the file lay while it was copied: on the node, in the etcd container.
pub fn places(taken: &Taken) -> (Option<String>, Option<String>) {
    match &taken.place {
        Some(Place::Node(path)) => (Some(path.clone()), None),
        Some(Place::Container(path)) => (None, Some(path.clone())),
        None => (None, None),
    }
}
