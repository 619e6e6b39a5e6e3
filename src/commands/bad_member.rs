//! The error for a good file and a member that differs from it.

use crate::error::{Error, ErrorKind};
use crate::etcd::MemberSet;
use crate::verification::comparison::Comparison;

/// Returns the error that names the members that differ from `file` and from most members.
pub(super) fn bad_member_error(comparison: &Comparison, members: &MemberSet, file: &str) -> Error {
    let pod_of = |name: &str| {
        let found = members.members.iter().find(|state| state.member.name == name);
        found.map(|state| state.member.pod_path()).unwrap_or_default()
    };
    let names: Vec<String> = comparison.differing().map(|(name, _)| format!("{name} (pod {})", pod_of(name))).collect();
    let (plural, verb, that) =
        if names.len() == 1 { ("", "holds", "that member") } else { ("s", "hold", "those members") };
    let message = format!("member{plural} {} {verb} other data than {file} and the other members", names.join(" and "));
    Error::new(ErrorKind::BadFile, message)
        .hint(format!("keep {file}, which is good, and do not restore from {that}"))
        .hint(format!("replace {that}: 'etcdctl member remove', empty the data directory, 'etcdctl member add'"))
}
