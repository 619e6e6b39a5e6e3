//! The last lines that a backup prints.

use super::result::BackupResult;
use crate::cli::RESTORE_URL;
use crate::ui::Ui;
use crate::util::byte_size::binary_bytes;
use crate::util::events::Events;
use crate::verification::member_check::MemberCheck;
use crate::verification::structure::StructureCheck;

/// Prints the result of each level of verification. `is_verified`: the file gets the requested name.
pub(super) fn print_verification(ui: &Ui, structure_check: &StructureCheck, members: &MemberCheck, is_verified: bool) {
    let structure = match structure_check {
        StructureCheck::NotChecked => "not checked".to_owned(),
        StructureCheck::Sound(contents) => {
            format!("{} keys, revision {}, hash {}", contents.total_keys, contents.last_revision, contents.hash)
        }
        StructureCheck::Bad(problem) => format!("damaged: {}", problem.what),
        StructureCheck::Unreadable(reason) => format!("not checked: {reason}"),
    };
    let members = match members {
        MemberCheck::NotChecked => "not checked".to_owned(),
        MemberCheck::Compared(comparison) => comparison.summary(),
    };
    let label = if is_verified { "Verified" } else { "Checked" };
    ui.status(&format!("{label}  checksum: sha-256 matches; structure: {structure}; members: {members}"));
}

/// Prints the summary of a backup whose file has the requested name.
pub(super) fn print_summary(ui: &Ui, result: &BackupResult) {
    let file = result.document.file.as_str();
    let target = if file == "-" { "standard output" } else { file };
    ui.status(&format!(
        "Etcd successfully backed up to {target} ({}, {} s)",
        binary_bytes(result.document.size_bytes),
        result.duration.as_secs_f64().round()
    ));
    ui.status("");
    ui.status("Keep it safe: it holds every object of the cluster, Secrets among them.");
    ui.status(&format!("Restore: {RESTORE_URL}"));
    ui.status("Cluster services are unavailable while a restore runs. A backup does not hold application data or volumes, and it is not a rollback mechanism.");
}
