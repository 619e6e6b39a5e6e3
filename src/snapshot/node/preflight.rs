//! Checks the node before anything is created on it.
//!
//! The file is often on the same disk as etcd's own, and an etcd that cannot write stops: without enough free space
//! there is no snapshot. What the kubelet does not report is a warning, not a reason to refuse.

use k8s_openapi::api::core::v1::Node;

use crate::error::Error;
use crate::etcd::Member;
use crate::k8s::{ApiError, DiskSpace, KubeClient, NodeLogPath};
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::headroom::required_free_space;
use crate::util::byte_size::decimal_bytes;

/// What the node reports.
#[derive(Debug)]
pub struct NodeCheck {
    /// The kubelet's `podLogsDir`.
    pub pod_logs: NodeLogPath,
    /// `None` if the kubelet does not report it.
    pub free_space: Option<DiskSpace>,
    /// What could not be learned.
    pub warnings: Vec<String>,
}

/// The kubelet's default for `podLogsDir`.
pub const POD_LOGS: &str = "/var/log/pods";

/// Checks the member's node for a file of about `db_size` bytes.
pub async fn check(client: &KubeClient, member: &Member, db_size: Option<u64>) -> Result<NodeCheck, TransportError> {
    let node = member.node.as_str();
    if node.is_empty() {
        return Err(Error::failed(format!("pod {} is not scheduled to a node yet", member.pod_path())).into());
    }
    let mut warnings = Vec::new();
    match client.node(node).await {
        Ok(found) => check_conditions(&found, node)?,
        Err(failure) if failure.is_forbidden() => {
            warnings.push(format!("the condition of node {node} is unknown: not allowed to get nodes"));
        }
        Err(failure) => return Err(failure.into()),
    }
    let pod_logs = pod_logs_directory(client, node).await?;
    if let Err(failure) = client.check_log_directory(&pod_logs).await {
        return Err(no_file_server(node, &pod_logs, failure));
    }
    let free_space = client.disk_space(node).await.ok().flatten();
    match free_space {
        Some(space) => {
            let needed = required_free_space(db_size, space.capacity);
            if space.available < needed {
                return Err(Error::failed(format!(
                    "not enough free space on node {node}: {} are free, and {} are needed (the database of {} plus a tenth, and a tenth of the file system for etcd itself)",
                    decimal_bytes(space.available),
                    decimal_bytes(needed),
                    db_size.map_or_else(|| "unknown size".to_owned(), decimal_bytes),
                ))
                .hint("nothing was created; free some space on the node, or choose another member with --member")
                .into());
            }
        }
        None => warnings.push(format!("free space on node {node} is unknown: the kubelet does not report it")),
    }
    Ok(NodeCheck { pod_logs, free_space, warnings })
}

fn check_conditions(node: &Node, name: &str) -> Result<(), TransportError> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    for condition in conditions {
        let is_true = condition.status == "True";
        let message = condition.message.as_deref().unwrap_or("no reason given");
        let problem = match condition.type_.as_str() {
            "Ready" if !is_true => "is not ready",
            "DiskPressure" if is_true => "is under disk pressure",
            "MemoryPressure" if is_true => "is under memory pressure",
            "PIDPressure" if is_true => "is out of process IDs",
            _ => continue,
        };
        let error = Error::failed(format!("node {name} {problem}: {message}"))
            .hint("nothing was created; choose a member on another node with --member");
        // Under pressure, another transport must not write on the node either.
        return Err(match condition.type_.as_str() {
            "Ready" => TransportError::Unavailable(error),
            _ => TransportError::Failed(error),
        });
    }
    Ok(())
}

/// Returns `podLogsDir` of the running kubelet, where it deletes the logs of deleted pods. In another directory the
/// file would stay.
async fn pod_logs_directory(client: &KubeClient, node: &str) -> Result<NodeLogPath, TransportError> {
    let path = match client.kubelet_config(node).await {
        Ok(config) => config["podLogsDir"].as_str().filter(|path| !path.is_empty()).unwrap_or(POD_LOGS).to_owned(),
        Err(failure) if failure.is_not_found() || failure.is_disabled() => POD_LOGS.to_owned(),
        Err(failure) => return Err(failure.into()),
    };
    NodeLogPath::new(node, &path).ok_or_else(|| {
        not_possible(format!(
            "the kubelet of node {node} keeps pods' logs in {path}, outside of /var/log, so it cannot serve the snapshot"
        ))
        .hint("choose a member on another node with --member")
    })
}

fn no_file_server(node: &str, directory: &NodeLogPath, failure: ApiError) -> TransportError {
    if failure.is_disabled() {
        return not_possible(format!(
            "the kubelet of node {node} does not serve its logs: {}",
            failure.error().message()
        ))
        .hint("enable enableSystemLogHandler and enableDebuggingHandlers in the kubelet's configuration");
    }
    if failure.is_not_found() {
        return not_possible(format!("the kubelet of node {node} does not serve {}", directory.path))
            .hint("set podLogsDir in the kubelet's configuration to a directory below /var/log");
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
            let found = node(json!([{"type": kind, "status": status, "message": "because"}]));
            let error = check_conditions(&found, "cp1").expect_err(kind);
            // The other transports write on the node, too, or leave it alone.
            assert_eq!(matches!(error, TransportError::Unavailable(_)), kind == "Ready");
            let error = error.into_error();
            assert!(error.message().starts_with("node cp1 ") && error.message().ends_with("because"));
        }
        let fine = node(json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]));
        assert!(check_conditions(&fine, "cp1").is_ok());
    }
}
