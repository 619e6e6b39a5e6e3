//! The document on standard output: what `-o json` and `-o yaml` print of a backup.

use serde::Serialize;

/// A backup whose bytes all arrived. Field names are camelCase, as Kubernetes writes them; a field that could not be learned is
/// null.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
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
    /// What was proven.
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

/// The levels of proof: `proven`, or what else came of it; a level that was not looked at says so.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Every byte arrived: the sha-256 at the end of the snapshot matches.
    pub transport: &'static str,
    /// The file is a sound database.
    pub structure: &'static str,
    /// The file holds what most of the members hold.
    pub content: &'static str,
}
