//! The status of a member, from etcdctl or from etcd's own API.

/// What a member reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    /// The member is the leader.
    pub leader: bool,
    /// The member is a learner, without a vote.
    pub learner: bool,
    pub version: String,
    /// Size of the database file in bytes.
    pub db_size: u64,
    /// Bytes of the database file that are in use; the rest is free pages.
    pub db_in_use: Option<u64>,
    /// Size in bytes at which etcd refuses writes; etcd 3.6 and newer report it.
    pub quota: Option<u64>,
    pub revision: u64,
    /// Index of the last raft entry.
    pub raft_index: u64,
    /// Index of the last applied raft entry.
    pub applied: u64,
    /// Alarms of this member, such as NOSPACE.
    pub alarms: Vec<String>,
    /// The member knows a leader.
    pub has_leader: bool,
}

impl MemberStatus {
    /// Reports whether the member has a leader and no alarm.
    pub fn is_healthy(&self) -> bool {
        self.alarms.is_empty() && self.has_leader
    }

    /// Returns `leader`, `follower` or `learner`.
    pub fn role(&self) -> &'static str {
        match self {
            status if status.learner => "learner",
            status if status.leader => "leader",
            _ => "follower",
        }
    }

    /// Returns what is wrong with this member, to be put after its name; `None` for a healthy member with a vote.
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
