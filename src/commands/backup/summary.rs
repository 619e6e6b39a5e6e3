//! What a person and a script are told of a backup whose bytes all arrived.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::document::{ClusterPart, Document, MemberPart, Verified};
use crate::etcd::{Member, MemberStatus};
use crate::snapshot::{Place, Taken};
use crate::ui::{Ui, binary_bytes};
use crate::verification::comparison::Verdict;
use crate::verification::integrity::{IntegrityResult, MemberCheck};

const RESTORE: &str =
    "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster";

/// The line of the talk that says what is proven.
pub fn print_verification(ui: &Ui, structure: &IntegrityResult, content: &MemberCheck) {
    let structure = match structure {
        IntegrityResult::NotChecked => "not checked".to_owned(),
        IntegrityResult::Sound(contents) => {
            format!("{} keys, revision {}, hash {}", contents.total_keys, contents.last_revision, contents.hash)
        }
        IntegrityResult::Bad(problem) => format!("bad: {}", problem.what),
        IntegrityResult::Unreadable(reason) => format!("not checked: {reason}"),
    };
    let content = match content {
        MemberCheck::NotChecked => "not checked".to_owned(),
        MemberCheck::Compared(comparison) => comparison.sentence(),
    };
    ui.status(&format!("Verified  transport: sha-256 matches; structure: {structure}; content: {content}"));
}

/// The last lines of the talk, when the file has the name that was asked for.
pub fn print_summary(ui: &Ui, file: &str, size: u64, duration: Duration) {
    let place = if file == "-" { "standard output" } else { file };
    ui.status(&format!(
        "Etcd successfully backed up to {place} ({}, {} s)",
        binary_bytes(size),
        duration.as_secs_f64().round()
    ));
    ui.status("");
    ui.status("Keep it safe: it holds every object of the cluster, Secrets among them.");
    ui.status(&format!("Restore: {RESTORE}"));
    ui.status("Cluster services are unavailable while a restore runs. A backup holds no application data or volumes and is no rollback mechanism.");
}

/// The levels as the document names them.
pub fn verified(structure: &IntegrityResult, content: &MemberCheck) -> Verified {
    Verified {
        transport: "proven",
        structure: match structure {
            IntegrityResult::NotChecked | IntegrityResult::Unreadable(_) => "not checked",
            IntegrityResult::Sound(_) => "proven",
            IntegrityResult::Bad(_) => "failed",
        },
        content: status_label(content),
    }
}

/// Level 3 as documents and tables name it.
pub fn status_label(content: &MemberCheck) -> &'static str {
    match content.verdict() {
        None => "not checked",
        Some(Verdict::Verified) => "proven",
        Some(Verdict::MemberDiffers) => "member differs",
        Some(Verdict::FileDiffers) => "differs",
        Some(Verdict::NotComparable) => "not comparable",
    }
}

pub fn document(
    member: &Member,
    status: Option<&MemberStatus>,
    structure: &IntegrityResult,
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
        revision: match structure {
            IntegrityResult::Sound(contents) => Some(contents.last_revision),
            _ => status.and_then(|status| i64::try_from(status.revision).ok()),
        },
        hash: match structure {
            IntegrityResult::Sound(contents) => Some(contents.hash),
            _ => None,
        },
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
