//! How much space a snapshot needs where etcdctl writes it. etcd's own database is often on the same disk, and an etcd
//! that cannot write stops.

use k8s_openapi::api::core::v1::Pod;

use crate::util::quantity::parse_quantity;

/// Returns the free bytes that a file system of `capacity` bytes must have: the database plus a tenth, and a tenth of
/// the file system for etcd itself.
pub(super) fn required_free_space(db_size: Option<u64>, capacity: u64) -> u64 {
    db_size.unwrap_or_default() / 10 * 11 + capacity / 10
}

/// Returns the smallest limit of storage under which the snapshot and the logs beside it fit: the database plus a
/// fifth.
pub(super) fn required_limit(db_size: u64) -> u64 {
    db_size / 10 * 12
}

/// Returns the ephemeral-storage limit of the pod if it is below `required` bytes: the kubelet counts files in a pod's
/// log directory against it, and evicts the pod.
pub(super) fn storage_limit_below(pod: &Pod, required: u64) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut limits = containers
        .iter()
        .filter_map(|container| container.resources.as_ref()?.limits.as_ref()?.get("ephemeral-storage"));
    limits.find(|limit| parse_quantity(&limit.0).is_some_and(|bytes| bytes < required)).map(|limit| limit.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_and_a_tenth_fit_and_a_tenth_of_the_file_system_stays() {
        assert_eq!(required_free_space(Some(1000), 50_000), 1100 + 5000);
        assert_eq!(required_free_space(None, 50_000), 5000);
        assert_eq!(required_limit(1000), 1200);
    }

    #[test]
    fn the_limit_of_any_container_counts() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {"containers": [
            {"name": "etcdctl"},
            {"name": "sidecar", "resources": {"limits": {"ephemeral-storage": "1Ki"}}},
        ]}}))
        .expect("a pod");
        assert_eq!(storage_limit_below(&pod, 1025).as_deref(), Some("1Ki"));
        assert_eq!(storage_limit_below(&pod, 1024), None);
    }
}
