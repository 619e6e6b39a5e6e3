//! What a person and a script are told of a backup that succeeded.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::etcd::{Member, MemberStatus};
use crate::snapshot::{Place, Taken};
use crate::ui::{ClusterPart, Document, MemberPart, Ui, Verified, binary_bytes};

const RESTORE: &str =
    "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster";

/// The last lines of the talk.
pub(super) fn tell(ui: &Ui, file: &str, size: u64, duration: Duration) {
    let place = if file == "-" { "standard output" } else { file };
    ui.say("Verified  transport: sha-256 matches");
    ui.say(&format!(
        "Etcd successfully backed up to {place} ({}, {} s)",
        binary_bytes(size),
        duration.as_secs_f64().round()
    ));
    ui.say("");
    ui.say("Keep it safe: it holds every object of the cluster, Secrets among them.");
    ui.say(&format!("Restore: {RESTORE}"));
    ui.say("Cluster services are unavailable while a restore runs. A backup holds no application data or volumes and is no rollback mechanism.");
}

pub(super) fn document(
    member: &Member,
    status: Option<&MemberStatus>,
    taken: &Taken,
    started_at: Timestamp,
    duration: Duration,
    warnings: Vec<String>,
) -> Document {
    Document {
        file: String::new(),
        size_bytes: 0,
        sha256: String::new(),
        cluster: ClusterPart { server: String::new(), context: None, uid: None },
        member: MemberPart {
            name: member.name.clone(),
            id: status.map(|status| format!("{:x}", status.id)),
            pod: member.pod_path(),
            node: member.node.clone(),
        },
        etcd_version: status.map(|status| status.version.clone()),
        kubernetes_version: None,
        revision: status.map(|status| status.revision),
        transport: taken.transport.name(),
        verified: Verified { transport: "proven", structure: "not checked", content: "not checked" },
        node_directory: match &taken.place {
            Some(Place::Node(path)) => Some(path.clone()),
            _ => None,
        },
        container_file: match &taken.place {
            Some(Place::Container(path)) => Some(path.clone()),
            _ => None,
        },
        started_at: started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        duration_seconds: (duration.as_secs_f64() * 10.0).round() / 10.0,
        warnings,
    }
}
