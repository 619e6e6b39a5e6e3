//! Decides what becomes of a file of which every byte arrived: its name, and the error of the run.
//!
//! The file gets the requested name if every level that could be checked is verified. Otherwise it is kept under
//! another name, because it may be the only copy.

use crate::commands::bad_member::bad_member_error;
use crate::error::{Error, ErrorKind};
use crate::etcd::{Member, MemberSet};
use crate::verification::Level;
use crate::verification::comparison::{Comparison, Verdict};
use crate::verification::member_check::MemberCheck;
use crate::verification::structure::StructureCheck;

/// The results of the levels above the checksum.
pub(super) struct VerificationOutcome<'o> {
    pub structure_check: &'o StructureCheck,
    pub member_check: &'o MemberCheck,
    /// `--verify`.
    pub wanted: Option<Level>,
    pub members: &'o MemberSet,
    /// The member that sent the file.
    pub member: &'o Member,
}

impl VerificationOutcome<'_> {
    /// Reports whether the file gets the requested name.
    pub(super) fn is_verified(&self) -> bool {
        let is_sound = matches!(self.structure_check, StructureCheck::Sound(_) | StructureCheck::NotChecked);
        let equals_members = match self.member_check.verdict() {
            None | Some(Verdict::Verified | Verdict::MemberDiffers) => true,
            Some(Verdict::FileDiffers) => false,
            Some(Verdict::NotComparable) => self.wanted != Some(Level::Members),
        };
        is_sound && equals_members
    }

    /// Returns the warning about a level that could not be checked.
    pub(super) fn warning(&self) -> Option<String> {
        match self.member_check {
            MemberCheck::Compared(comparison) if comparison.verdict() == Verdict::NotComparable => {
                Some(format!("cannot compare the snapshot with the members: {}", comparison.summary()))
            }
            _ => None,
        }
    }

    /// Returns the error of the run. `saved_as` is the file's name.
    pub(super) fn error(&self, saved_as: &str) -> Option<Error> {
        let member = &self.member.name;
        match (self.structure_check, self.member_check) {
            (StructureCheck::Bad(problem), _) => {
                let offset = problem.offset.map(|offset| format!(" (at byte {offset})")).unwrap_or_default();
                let message = format!(
                    "the database in the snapshot is damaged: {}{offset}; it is kept as {saved_as}",
                    problem.what
                );
                Some(Error::new(ErrorKind::BadFile, message).hint(problem.hint.clone()).hint(format!(
                    "back up another member with --member, then replace member {member}: the checksum matches, so its own database is damaged"
                )))
            }
            (StructureCheck::Unreadable(reason), _) => Some(
                Error::failed(format!("cannot check the snapshot: {reason}; it is kept as {saved_as}")).hint(
                    "check the disk of this machine, then verify the file with 'kubectl etcd-backup verify'; the checksum matched on arrival",
                ),
            ),
            (_, MemberCheck::Compared(comparison)) => match comparison.verdict() {
                Verdict::Verified => None,
                Verdict::NotComparable if self.wanted != Some(Level::Members) => None,
                Verdict::NotComparable => Some(
                    Error::failed(format!(
                        "cannot compare the snapshot with the members: {}; it is kept as {saved_as}",
                        comparison.summary()
                    ))
                    .hint("run the backup again, or use --verify structure; checksum and structure are verified"),
                ),
                Verdict::MemberDiffers => Some(bad_member_error(comparison, self.members, "the snapshot")),
                Verdict::FileDiffers => Some(bad_file_error(comparison, member, saved_as)),
            },
            (_, MemberCheck::NotChecked) => None,
        }
    }
}

/// Returns the error of a file that does not hold the data of most members.
fn bad_file_error(comparison: &Comparison, member: &str, saved_as: &str) -> Error {
    if comparison.voters() == 1 {
        let message =
            format!("the snapshot of member {member} differs from that member's own data; it is kept as {saved_as}");
        return Error::new(ErrorKind::BadFile, message)
            .hint("run the backup again; if it fails again, check the disk and the memory of the member's node");
    }
    if let Some(others) = comparison.opposing_majority() {
        let names = others.join(" and ");
        let message = format!(
            "the snapshot of member {member} differs from the data of members {names}; it is kept as {saved_as}"
        );
        return Error::new(ErrorKind::BadFile, message)
            .hint(format!("do not restore from it; back up another member with --member {}", others[0]))
            .hint(format!(
                "then replace member {member}: 'etcdctl member remove', empty the data directory, 'etcdctl member add'"
            ));
    }
    let message = format!(
        "the members do not agree with each other, and no majority agrees: {}; the snapshot of member {member} is kept as {saved_as}",
        comparison.summary()
    );
    Error::new(ErrorKind::BadFile, message)
        .hint("back up the other members too, with --member, and keep all files until you know which one is right")
        .hint("run 'etcdctl endpoint hashkv --cluster' to see which member differs, then replace it")
}

#[cfg(test)]
mod tests;
