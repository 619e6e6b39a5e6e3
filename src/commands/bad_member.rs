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
    let (message, that) = match names.as_slice() {
        [name] => (format!("member {name} holds other data than {file} and the other members"), "that member"),
        names => {
            let names = names.join(" and ");
            (format!("members {names} hold other data than {file} and the other members"), "those members")
        }
    };
    Error::new(ErrorKind::BadFile, message)
        .hint(format!("keep {file}, which is good, and do not restore from {that}"))
        .hint(format!("replace {that}: 'etcdctl member remove', empty the data directory, 'etcdctl member add'"))
}
