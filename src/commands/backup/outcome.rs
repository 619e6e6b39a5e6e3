//! What becomes of a file whose bytes all arrived: its name, and the error that the run ends with.
//!
//! A file gets the name that was asked for when every level that could be checked holds. Whatever else arrived whole is kept under
//! another name, because it may be the only copy there is.

use crate::error::{Error, ErrorKind};
use crate::etcd::{Member, MemberSet};
use crate::verification::Level;
use crate::verification::comparison::{Comparison, Verdict};
use crate::verification::integrity::{IntegrityResult, MemberCheck};

/// What the levels above the transport say together.
pub struct Outcome<'o> {
    pub integrity: &'o IntegrityResult,
    pub member_check: &'o MemberCheck,
    /// `--verify`.
    pub wanted: Option<Level>,
    pub members: &'o MemberSet,
    /// The member that the file is from.
    pub member: &'o Member,
}

impl Outcome<'_> {
    /// The file may have the name that was asked for.
    pub fn is_verified(&self) -> bool {
        let structure = matches!(self.integrity, IntegrityResult::Sound(_) | IntegrityResult::NotChecked);
        let content = match self.member_check.verdict() {
            None | Some(Verdict::Verified | Verdict::MemberDiffers) => true,
            Some(Verdict::FileDiffers) => false,
            Some(Verdict::NotComparable) => self.wanted != Some(Level::Members),
        };
        structure && content
    }

    /// What is missing, where that is no error.
    pub fn warning(&self) -> Option<String> {
        match self.member_check {
            MemberCheck::Compared(comparison) if comparison.verdict() == Verdict::NotComparable => {
                Some(format!("the snapshot could not be compared with the members: {}", comparison.summary()))
            }
            _ => None,
        }
    }

    /// What the run ends with, now that the file is called `kept`.
    pub fn error(&self, kept: &str) -> Option<Error> {
        let member = &self.member.name;
        match (self.integrity, self.member_check) {
            (IntegrityResult::Bad(problem), _) => {
                let place = problem.offset.map(|offset| format!(" (at byte {offset})")).unwrap_or_default();
                let what = format!(
                    "the database in the snapshot is damaged: {}{place}; it is kept as {kept}",
                    problem.what
                );
                Some(Error::new(ErrorKind::BadFile, what).hint(problem.hint.clone()).hint(format!(
                    "the checksum that etcd gave it is right, so the database of member {member} is damaged itself: back up another one with --member, then replace it"
                )))
            }
            (IntegrityResult::Unreadable(reason), _) => Some(
                Error::failed(format!("the snapshot cannot be checked: {reason}; it is kept as {kept}"))
                    .hint("its sha-256 was right when it arrived; look at the disk here, then run 'kubectl etcd-backup verify' on it"),
            ),
            (_, MemberCheck::Compared(comparison)) => match comparison.verdict() {
                Verdict::Verified => None,
                Verdict::NotComparable if self.wanted != Some(Level::Members) => None,
                Verdict::NotComparable => Some(
                    Error::failed(format!(
                        "cannot compare the snapshot with the members: {}; the file is kept as {kept}",
                        comparison.summary()
                    ))
                    .hint("checksum and structure are verified; run the backup again, or use --verify structure"),
                ),
                Verdict::MemberDiffers => Some(member_differs(comparison, self.members, "the snapshot")),
                Verdict::FileDiffers => Some(file_differs(comparison, member, kept)),
            },
            (_, MemberCheck::NotChecked) => None,
        }
    }
}

/// `file` equals most of the members and others differ.
pub fn member_differs(comparison: &Comparison, set: &MemberSet, file: &str) -> Error {
    let pod = |name: &str| {
        let found = set.members.iter().find(|state| state.member.name == name);
        found.map(|state| state.member.pod_path()).unwrap_or_default()
    };
    let names: Vec<String> = comparison.differing().map(|(name, _)| format!("{name} (pod {})", pod(name))).collect();
    let (plural, verb, that) =
        if names.len() == 1 { ("", "holds", "that member") } else { ("s", "hold", "those members") };
    let what = format!("member{plural} {} {verb} other data than {file} and the other members", names.join(" and "));
    Error::new(ErrorKind::BadFile, what)
        .hint(format!("{file} is good: keep it, and do not restore from {that}"))
        .hint(format!("replace {that}: 'etcdctl member remove', empty the data directory, 'etcdctl member add'"))
}

fn file_differs(comparison: &Comparison, member: &str, kept: &str) -> Error {
    if comparison.voters() == 1 {
        let what = format!("the snapshot differs from what member {member} itself holds; it is kept as {kept}");
        return Error::new(ErrorKind::BadFile, what).hint(
            "run the backup again; if it happens again, the member reads other data than it sends: look at its disk and memory",
        );
    }
    if let Some(others) = comparison.opposing_majority() {
        let names = others.join(" and ");
        let what =
            format!("the snapshot of member {member} differs from what members {names} hold; it is kept as {kept}");
        return Error::new(ErrorKind::BadFile, what)
            .hint(format!("do not restore from it; back up one of them instead, with --member {}", others[0]))
            .hint(format!(
                "then replace member {member}: 'etcdctl member remove', empty the data directory, 'etcdctl member add'"
            ));
    }
    let what = format!(
        "the members do not agree with each other, and none has the majority on its side: {}; the snapshot of member {member} is kept as {kept}",
        comparison.summary()
    );
    Error::new(ErrorKind::BadFile, what)
        .hint("back up the other members, too, with --member, and keep all files until it is known which is right")
        .hint("'etcdctl endpoint hashkv --cluster' shows who differs; then replace that member")
}
