//! What a user reads of a backup whose bytes all arrived.

use crate::ui::Ui;
use crate::util::byte_size::binary_bytes;
use crate::util::events::Events;
use crate::verification::integrity::{IntegrityResult, MemberCheck};

use super::BackupResult;

/// Where Kubernetes documents the restore.
const RESTORE: &str =
    "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster";

/// Prints what each level of verification found.
pub(super) fn print_verification(ui: &Ui, integrity: &IntegrityResult, members: &MemberCheck) {
    let structure = match integrity {
        IntegrityResult::NotChecked => "not checked".to_owned(),
        IntegrityResult::Sound(contents) => {
            format!("{} keys, revision {}, hash {}", contents.total_keys, contents.last_revision, contents.hash)
        }
        IntegrityResult::Bad(problem) => format!("bad: {}", problem.what),
        IntegrityResult::Unreadable(reason) => format!("not checked: {reason}"),
    };
    let members = match members {
        MemberCheck::NotChecked => "not checked".to_owned(),
        MemberCheck::Compared(comparison) => comparison.summary(),
    };
    ui.status(&format!("Verified  checksum: sha-256 matches; structure: {structure}; members: {members}"));
}

/// Prints the last lines of a backup whose file has the name that was asked for.
pub(super) fn print_summary(ui: &Ui, result: &BackupResult) {
    let file = result.document.file.as_str();
    let place = if file == "-" { "standard output" } else { file };
    ui.status(&format!(
        "Etcd successfully backed up to {place} ({}, {} s)",
        binary_bytes(result.document.size_bytes),
        result.duration.as_secs_f64().round()
    ));
    ui.status("");
    ui.status("Keep it safe: it holds every object of the cluster, Secrets among them.");
    ui.status(&format!("Restore: {RESTORE}"));
    ui.status("Cluster services are unavailable while a restore runs. A backup does not hold application data or volumes, and it is not a rollback mechanism.");
}
