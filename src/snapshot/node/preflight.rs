//! Asking the node before anything is created on it.
//!
//! The file lands beside etcd's own, often on the same disk, and an etcd that cannot write dies: no room, no snapshot.
//! What the kubelet cannot tell is said, and is no reason to refuse.

use k8s_openapi::api::core::v1::Node;

use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::{DiskSpace, KubeClient, NodeLogPath};
use crate::util::byte_size::decimal_bytes;

/// What the node is like.
#[derive(Debug)]
pub struct Checked {
    /// The kubelet's `podLogsDir`.
    pub pod_logs: NodeLogPath,
    /// Room on the node, where the kubelet's statistics tell.
    pub room: Option<DiskSpace>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

/// Where kubelets keep pods' logs unless told otherwise.
const POD_LOGS: &str = "/var/log/pods";

/// Checks the member's node for a file of about `db_size` bytes.
pub async fn check(cluster: &KubeClient, member: &Member, db_size: Option<u64>) -> Result<Checked> {
    let node = member.node.as_str();
    if node.is_empty() {
        return Err(Error::failed(format!("pod {} is not on a node yet", member.pod_path())));
    }
    let mut warnings = Vec::new();
    match cluster.node(node).await {
        Ok(found) => conditions(&found, node)?,
        Err(failure) if failure.is_forbidden() => {
            warnings.push(format!("the condition of node {node} is unknown: not allowed to get nodes"));
        }
        Err(failure) => return Err(failure.into()),
    }
    let pod_logs = pod_logs_directory(cluster, node).await?;
    if let Err(failure) = cluster.check_log_directory(&pod_logs).await {
        return Err(no_file_server(node, &pod_logs, failure));
    }
    let room = cluster.disk_space(node).await.ok().flatten();
    match room {
        Some(room) => {
            let needed = db_size.unwrap_or_default() / 10 * 11 + room.capacity / 10;
            if room.available < needed {
                return Err(Error::failed(format!(
                    "too little room on node {node}: {} are free, and {} are needed (the database of {} plus a tenth, and a tenth of the file system for etcd itself)",
                    decimal_bytes(room.available),
                    decimal_bytes(needed),
                    db_size.map_or_else(|| "unknown size".to_owned(), decimal_bytes),
                ))
                .hint("nothing was created; make room on the node, or choose another member with --member"));
            }
        }
        None => warnings.push(format!("free space on node {node} is unknown: the kubelet's statistics do not tell")),
    }
    Ok(Checked { pod_logs, room, warnings })
}

fn conditions(node: &Node, name: &str) -> Result<()> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    for condition in conditions {
        let is_true = condition.status == "True";
        let message = condition.message.as_deref().unwrap_or("no reason given");
        let trouble = match condition.type_.as_str() {
            "Ready" if !is_true => "is not ready",
            "DiskPressure" if is_true => "is under disk pressure",
            "MemoryPressure" if is_true => "is under memory pressure",
            "PIDPressure" if is_true => "is out of process IDs",
            _ => continue,
        };
        let error = Error::failed(format!("node {name} {trouble}: {message}"))
            .hint("nothing was created; choose a member on another node with --member");
        // Under pressure, no other way may write on the node either.
        return Err(if condition.type_ == "Ready" { error.or_another_way() } else { error });
    }
    Ok(())
}

/// `podLogsDir` of the running kubelet, which is where it cleans up behind a pod. Asked rather than assumed: a
/// directory that the kubelet does not know would keep the file for ever.
async fn pod_logs_directory(cluster: &KubeClient, node: &str) -> Result<NodeLogPath> {
    let path = match cluster.kubelet_config(node).await {
        Ok(config) => config["podLogsDir"].as_str().filter(|path| !path.is_empty()).unwrap_or(POD_LOGS).to_owned(),
        Err(failure) if failure.is_not_found() || failure.is_disabled() => POD_LOGS.to_owned(),
        Err(failure) => return Err(failure.into()),
    };
    NodeLogPath::new(node, &path).ok_or_else(|| {
        Error::not_possible(format!(
            "the kubelet of node {node} keeps pods' logs in {path}, outside of /var/log, so it cannot serve the snapshot"
        ))
        .hint("choose a member on another node with --member")
    })
}

fn no_file_server(node: &str, directory: &NodeLogPath, failure: crate::k8s::ApiError) -> Error {
    if failure.is_disabled() {
        return Error::not_possible(format!(
            "the kubelet of node {node} does not serve its logs: {}",
            failure.error().message()
        ))
        .hint("enableSystemLogHandler and enableDebuggingHandlers of the kubelet's configuration must be on");
    }
    if failure.is_not_found() {
        return Error::not_possible(format!("the kubelet of node {node} does not serve {}", directory.path))
            .hint("podLogsDir of the kubelet's configuration must lie in /var/log");
    }
    failure.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(conditions: serde_json::Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "cp1"}, "status": {"conditions": conditions}}))
            .expect("a node")
    }

    #[test]
    fn a_node_in_trouble_is_refused_by_name() {
        for (kind, status) in
            [("Ready", "False"), ("Ready", "Unknown"), ("DiskPressure", "True"), ("MemoryPressure", "True")]
        {
            let error = conditions(&node(json!([{"type": kind, "status": status, "message": "because"}])), "cp1")
                .expect_err(kind);
            assert!(error.message().starts_with("node cp1 ") && error.message().ends_with("because"));
        }
        let fine = node(json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]));
        assert!(conditions(&fine, "cp1").is_ok());
    }
}
