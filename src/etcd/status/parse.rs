//! Reads `etcdctl endpoint status -w json`, and the response of etcd's own API, into a [`MemberStatus`].

use serde::Deserialize;

use crate::etcd::client::StatusResponse;
use crate::etcd::etcdctl::json::{EtcdctlHeader, parse_number};
use crate::etcd::member_status::MemberStatus;

/// The response of one endpoint.
#[derive(Debug, Deserialize)]
pub(super) struct EndpointStatus {
    /// The URL that was asked.
    #[serde(rename = "Endpoint")]
    pub endpoint: String,
    #[serde(rename = "Status")]
    response: EtcdctlStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EtcdctlStatus {
    header: EtcdctlHeader,
    #[serde(default)]
    version: String,
    #[serde(default, deserialize_with = "parse_number")]
    db_size: u64,
    #[serde(default, deserialize_with = "parse_number")]
    db_size_in_use: u64,
    #[serde(default, deserialize_with = "parse_number")]
    db_size_quota: u64,
    #[serde(default, deserialize_with = "parse_number")]
    leader: u64,
    #[serde(default, deserialize_with = "parse_number")]
    raft_index: u64,
    #[serde(default, deserialize_with = "parse_number")]
    raft_applied_index: u64,
    #[serde(default)]
    errors: Option<Vec<String>>,
    #[serde(default)]
    is_learner: bool,
}

/// Reads etcdctl's standard output; `None` if it has no status.
pub(super) fn parse_statuses(stdout: &str) -> Option<Vec<EndpointStatus>> {
    let statuses: Option<Vec<EndpointStatus>> = serde_json::from_str(stdout.trim()).ok()?;
    statuses.filter(|statuses| !statuses.is_empty())
}

/// Returns the endpoints of lines such as `Failed to get the status of endpoint https://10.0.0.1:2379 (context deadline
/// exceeded)` (etcd `etcdctl/ctlv3/command/ep_command.go`).
pub(super) fn parse_failed_endpoints(stderr: &str) -> Vec<String> {
    let endpoints = stderr.lines().filter_map(|line| {
        line.trim().strip_prefix("Failed to get the status of endpoint ")?.split_whitespace().next()
    });
    endpoints.map(str::to_owned).collect()
}

/// Converts the response of etcd's own API; `None` if it names no member.
pub(super) fn status_from_grpc(status: StatusResponse) -> Option<MemberStatus> {
    let header = status.header?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    let response = EtcdctlStatus {
        header: EtcdctlHeader { member_id: header.member_id, revision: unsigned(header.revision) },
        version: status.version,
        db_size: unsigned(status.db_size),
        db_size_in_use: unsigned(status.db_size_in_use),
        db_size_quota: unsigned(status.db_size_quota),
        leader: status.leader,
        raft_index: status.raft_index,
        raft_applied_index: status.raft_applied_index,
        errors: Some(status.errors),
        is_learner: status.is_learner,
    };
    Some(response.into_status())
}

impl EndpointStatus {
    pub(super) fn into_status(self) -> MemberStatus {
        self.response.into_status()
    }
}

impl EtcdctlStatus {
    fn into_status(self) -> MemberStatus {
        let id = self.header.member_id;
        let non_zero = |number: u64| (number != 0).then_some(number);
        MemberStatus {
            id,
            leader: self.leader != 0 && self.leader == id,
            learner: self.is_learner,
            version: self.version,
            db_size: self.db_size,
            db_in_use: non_zero(self.db_size_in_use),
            quota: non_zero(self.db_size_quota),
            revision: self.header.revision,
            raft_index: self.raft_index,
            // etcd before 3.4 does not report the applied index.
            applied: non_zero(self.raft_applied_index).unwrap_or(self.raft_index),
            alarms: parse_alarms(id, self.errors.as_deref().unwrap_or_default()),
            has_leader: self.leader != 0,
        }
    }
}

/// Returns the alarms of member `id`. Every member lists the alarms of all members, as
/// `memberID:10276657743932975437 alarm:NOSPACE ` (etcd `server/etcdserver/api/v3rpc/maintenance.go`, Status).
fn parse_alarms(id: u64, errors: &[String]) -> Vec<String> {
    let own = format!("memberID:{id}");
    let mut alarms = Vec::new();
    for error in errors {
        let words: Vec<&str> = error.split_whitespace().collect();
        if words.contains(&own.as_str()) {
            alarms.extend(words.iter().filter_map(|word| word.strip_prefix("alarm:")).map(str::to_owned));
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by etcdctl 3.6.8 on a kubeadm control plane; the errors were added.
    const RESPONSE: &str = r#"[{"Endpoint":"https://10.77.0.11:2379","Status":{"header":{"cluster_id":12102231493559379567,"member_id":2677674080080550774,"revision":379,"raft_term":2},"version":"3.6.8","dbSize":593920,"leader":2677674080080550774,"raftIndex":414,"raftTerm":2,"raftAppliedIndex":414,"errors":["memberID:2677674080080550774 alarm:NOSPACE ","memberID:7 alarm:CORRUPT "],"dbSizeInUse":491520,"storageVersion":"3.6.0","dbSizeQuota":8589934592,"downgradeInfo":{}}}]"#;

    #[test]
    fn a_response_of_etcdctl_is_read() {
        let status = parse_statuses(RESPONSE).expect("it is etcdctl's").remove(0).into_status();
        assert!(status.leader && !status.learner);
        assert_eq!((status.db_size, status.revision, status.raft_index, status.applied), (593_920, 379, 414, 414));
        assert_eq!((status.db_in_use, status.quota), (Some(491_520), Some(8 << 30)));
        assert_eq!(status.alarms, ["NOSPACE"]);
        assert!(!status.is_healthy());
        assert_eq!(status.warning().as_deref(), Some("has the alarm NOSPACE"));
    }

    #[test]
    fn endpoints_without_a_response_are_named() {
        let stderr = "{\"level\":\"warn\"}\nFailed to get the status of endpoint https://10.0.0.1:2379 (context deadline exceeded)\n";
        assert_eq!(parse_failed_endpoints(stderr), ["https://10.0.0.1:2379"]);
    }

    #[test]
    fn numbers_may_be_text() {
        let text = RESPONSE.replace("593920", "\"593920\"");
        assert_eq!(parse_statuses(&text).expect("both forms are read").remove(0).into_status().db_size, 593_920);
    }

    #[test]
    fn what_an_older_etcd_does_not_report_is_unknown() {
        let text = RESPONSE.replace(",\"dbSizeQuota\":8589934592", "");
        assert_eq!(parse_statuses(&text).expect("it is read").remove(0).into_status().quota, None);
        assert!(parse_statuses("null").is_none() && parse_statuses("").is_none() && parse_statuses("[]").is_none());
    }
}
