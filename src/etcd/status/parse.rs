//! What `etcdctl endpoint status -w json` prints, read into what the program works with.

use serde::{Deserialize, Deserializer};

/// What one member said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Member ID.
    pub id: u64,
    /// It leads.
    pub leader: bool,
    /// It is a learner, without a vote.
    pub learner: bool,
    /// etcd's version.
    pub version: String,
    /// Size of the database file in bytes.
    pub db_size: u64,
    /// Bytes of it that are in use; the rest is free pages.
    pub db_in_use: Option<u64>,
    /// Size in bytes at which etcd stops to accept writes; told from etcd 3.6 on.
    pub quota: Option<u64>,
    /// Revision of the store.
    pub revision: u64,
    /// Index of the last raft entry.
    pub raft_index: u64,
    /// Index of the last applied raft entry.
    pub applied: u64,
    /// Alarms of this member, such as NOSPACE.
    pub alarms: Vec<String>,
    /// It knows a leader.
    pub has_leader: bool,
}

impl MemberStatus {
    /// Without an alarm and with a leader.
    pub fn is_healthy(&self) -> bool {
        self.alarms.is_empty() && self.has_leader
    }

    /// The same, told by etcd itself; `None` when the answer names no member.
    pub fn from_status_response(status: crate::etcd::client::Status) -> Option<Self> {
        let header = status.header?;
        let figure = |figure: i64| u64::try_from(figure).unwrap_or_default();
        Some(
            Status {
                header: Header { member_id: header.member_id, revision: figure(header.revision) },
                version: status.version,
                db_size: figure(status.db_size),
                db_size_in_use: figure(status.db_size_in_use),
                db_size_quota: figure(status.db_size_quota),
                leader: status.leader,
                raft_index: status.raft_index,
                raft_applied_index: status.raft_applied_index,
                errors: Some(status.errors),
                is_learner: status.is_learner,
            }
            .into_status(),
        )
    }

    /// `leader`, `follower` or `learner`.
    pub fn role(&self) -> &'static str {
        match self {
            status if status.learner => "learner",
            status if status.leader => "leader",
            _ => "follower",
        }
    }

    /// What speaks against this member, in words that follow its name; `None` when it is healthy and votes.
    pub fn warning(&self) -> Option<String> {
        if self.learner {
            Some("is a learner, which may lag behind".to_owned())
        } else if !self.alarms.is_empty() {
            Some(format!("has the alarm {}", self.alarms.join(" and ")))
        } else if !self.has_leader {
            Some("has no leader".to_owned())
        } else {
            None
        }
    }
}

/// One endpoint's answer.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// The URL that was asked.
    #[serde(rename = "Endpoint")]
    pub endpoint: String,
    #[serde(rename = "Status")]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    header: Header,
    #[serde(default)]
    version: String,
    #[serde(default, deserialize_with = "number")]
    db_size: u64,
    #[serde(default, deserialize_with = "number")]
    db_size_in_use: u64,
    #[serde(default, deserialize_with = "number")]
    db_size_quota: u64,
    #[serde(default, deserialize_with = "number")]
    leader: u64,
    #[serde(default, deserialize_with = "number")]
    raft_index: u64,
    #[serde(default, deserialize_with = "number")]
    raft_applied_index: u64,
    #[serde(default)]
    errors: Option<Vec<String>>,
    #[serde(default)]
    is_learner: bool,
}

/// Who answers.
#[derive(Debug, Deserialize)]
pub struct Header {
    #[serde(default, deserialize_with = "number")]
    pub member_id: u64,
    #[serde(default, deserialize_with = "number")]
    revision: u64,
}

/// etcdctl's answers; `None` when it printed none.
pub fn read(stdout: &str) -> Option<Vec<Entry>> {
    serde_json::from_str::<Option<Vec<Entry>>>(stdout.trim()).ok().flatten().filter(|entries| !entries.is_empty())
}

/// The endpoints of lines such as `Failed to get the status of endpoint https://10.0.0.1:2379 (context deadline
/// exceeded)` (etcd `etcdctl/ctlv3/command/ep_command.go`).
pub fn silent(stderr: &str) -> Vec<String> {
    let endpoints = stderr.lines().filter_map(|line| {
        line.trim().strip_prefix("Failed to get the status of endpoint ")?.split_whitespace().next()
    });
    endpoints.map(str::to_owned).collect()
}

impl Entry {
    pub fn into_status(self) -> MemberStatus {
        self.status.into_status()
    }
}

impl Status {
    fn into_status(self) -> MemberStatus {
        let status = self;
        let id = status.header.member_id;
        let known = |figure: u64| (figure != 0).then_some(figure);
        MemberStatus {
            id,
            leader: status.leader != 0 && status.leader == id,
            learner: status.is_learner,
            version: status.version,
            db_size: status.db_size,
            db_in_use: known(status.db_size_in_use),
            quota: known(status.db_size_quota),
            revision: status.header.revision,
            raft_index: status.raft_index,
            // etcd before 3.4 did not tell the applied index.
            applied: known(status.raft_applied_index).unwrap_or(status.raft_index),
            alarms: alarms_of(id, status.errors.as_deref().unwrap_or_default()),
            has_leader: status.leader != 0,
        }
    }
}

/// Every member lists the alarms of all, as `memberID:10276657743932975437 alarm:NOSPACE ` (etcd
/// `server/etcdserver/api/v3rpc/maintenance.go`, Status): only its own count against it.
fn alarms_of(id: u64, errors: &[String]) -> Vec<String> {
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

/// IDs are numbers in etcdctl's JSON; protobuf's own JSON writes 64-bit numbers as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => number,
        Either::Text(text) => text.parse().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by etcdctl 3.6.8 on a kubeadm control plane; the errors were added.
    const ANSWER: &str = r#"[{"Endpoint":"https://10.77.0.11:2379","Status":{"header":{"cluster_id":12102231493559379567,"member_id":2677674080080550774,"revision":379,"raft_term":2},"version":"3.6.8","dbSize":593920,"leader":2677674080080550774,"raftIndex":414,"raftTerm":2,"raftAppliedIndex":414,"errors":["memberID:2677674080080550774 alarm:NOSPACE ","memberID:7 alarm:CORRUPT "],"dbSizeInUse":491520,"storageVersion":"3.6.0","dbSizeQuota":8589934592,"downgradeInfo":{}}}]"#;

    #[test]
    fn etcdctls_answer_is_read() {
        let status = read(ANSWER).expect("it is etcdctl's").remove(0).into_status();
        assert!(status.leader && !status.learner);
        assert_eq!((status.db_size, status.revision, status.raft_index, status.applied), (593_920, 379, 414, 414));
        assert_eq!((status.db_in_use, status.quota), (Some(491_520), Some(8 << 30)));
        assert_eq!(status.alarms, ["NOSPACE"]);
        assert!(!status.is_healthy());
        assert_eq!(status.warning().as_deref(), Some("has the alarm NOSPACE"));
    }

    #[test]
    fn endpoints_without_an_answer_are_named() {
        let stderr = "{\"level\":\"warn\"}\nFailed to get the status of endpoint https://10.0.0.1:2379 (context deadline exceeded)\n";
        assert_eq!(silent(stderr), ["https://10.0.0.1:2379"]);
    }

    #[test]
    fn numbers_may_be_text() {
        let text = ANSWER.replace("593920", "\"593920\"");
        assert_eq!(read(&text).expect("both forms are read").remove(0).into_status().db_size, 593_920);
    }

    #[test]
    fn what_an_older_etcd_does_not_tell_is_unknown() {
        let text = ANSWER.replace(",\"dbSizeQuota\":8589934592", "");
        assert_eq!(read(&text).expect("it is read").remove(0).into_status().quota, None);
        assert!(read("null").is_none() && read("").is_none() && read("[]").is_none());
    }
}
