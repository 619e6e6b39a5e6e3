//! How the members fare, as `etcdctl endpoint status` tells.
//!
//! etcdctl runs in the etcd container itself: it is there even in images that hold no shell. One call asks all
//! members; when that fails (their list needs a quorum, and a cluster without one is when a backup matters most) each
//! pod is asked for its own member alone.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::credentials::Credentials;
use super::{Member, etcdctl};
use crate::cluster::{Cluster, ExecOutput};

/// What one member said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Revision of the store.
    pub revision: u64,
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
}

/// The answers, one for each member that was asked, in the same order.
#[derive(Debug, Default)]
pub struct Statuses {
    /// `None` for a member that did not answer, or whose answer cannot be told apart.
    pub of: Vec<Option<MemberStatus>>,
    /// The credentials that worked in the first pod that answered, by their origin.
    pub worked: Option<&'static str>,
    /// What could not be learned, and why.
    pub warnings: Vec<String>,
}

const LIMIT: Duration = Duration::from_secs(20);

/// Asks the members. `candidates` gives each member's credentials. Never fails: what cannot be learned is a warning.
pub async fn gather(
    cluster: &Cluster,
    members: &[Member],
    candidates: &[Vec<Credentials>],
    endpoint: Option<&str>,
) -> Statuses {
    let mut found = Statuses { of: vec![None; members.len()], ..Statuses::default() };
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| !members[*index].is_ready());

    let mut last = String::new();
    for &index in &order {
        for credentials in candidates[index].iter().filter(|candidate| candidate.in_member) {
            match ask(cluster, &members[index], credentials, endpoint, true).await {
                Ask::Answered(entries) => {
                    found.worked = Some(credentials.origin);
                    place(&mut found.of, members, entries, None);
                    fill_gaps(cluster, members, candidates, endpoint, &mut found).await;
                    return found;
                }
                Ask::Refused(reason) => {
                    found.warnings.push(format!("roles and health of the members are unknown: {reason}"));
                    return found;
                }
                Ask::Failed(reason) => last = reason,
            }
        }
        if members[index].is_ready() {
            break;
        }
    }
    fill_gaps(cluster, members, candidates, endpoint, &mut found).await;
    if found.of.iter().all(Option::is_none) {
        found.warnings.push(format!("roles and health of the members are unknown: {last}"));
    } else if members.len() > 1 {
        found.warnings.push(
            "the members could not be listed: etcd may have lost its quorum; a member can still be backed up"
                .to_owned(),
        );
    }
    found
}

/// Asks each pod whose member is still unknown for its own status.
async fn fill_gaps(
    cluster: &Cluster,
    members: &[Member],
    candidates: &[Vec<Credentials>],
    endpoint: Option<&str>,
    found: &mut Statuses,
) {
    for (index, member) in members.iter().enumerate() {
        if found.of[index].is_some() || !(member.is_ready() || found.worked.is_none()) {
            continue;
        }
        let usable = candidates[index].iter().filter(|candidate| candidate.in_member);
        for credentials in usable.filter(|candidate| found.worked.is_none_or(|worked| worked == candidate.origin)) {
            if let Ask::Answered(entries) = ask(cluster, member, credentials, endpoint, false).await {
                found.worked = Some(credentials.origin);
                place(&mut found.of, members, entries, Some(index));
                break;
            }
        }
    }
}

enum Ask {
    Answered(Vec<Entry>),
    /// The cluster does not let us run commands: no use in asking another pod.
    Refused(String),
    Failed(String),
}

async fn ask(cluster: &Cluster, member: &Member, credentials: &Credentials, endpoint: Option<&str>, all: bool) -> Ask {
    let command = command(member, credentials, endpoint, all);
    match cluster.exec(&member.namespace, &member.pod_name, &member.container.name, &command, LIMIT).await {
        Ok(output) => match serde_json::from_str::<Option<Vec<Entry>>>(output.stdout.trim()) {
            Ok(Some(entries)) if !entries.is_empty() => Ask::Answered(entries),
            _ => Ask::Failed(reason(&output)),
        },
        Err(failure) if failure.is_forbidden() => Ask::Refused(failure.error().message().to_owned()),
        Err(failure) => Ask::Failed(failure.error().message().to_owned()),
    }
}

fn command(member: &Member, credentials: &Credentials, endpoint: Option<&str>, all: bool) -> Vec<String> {
    let flags = [("write-out", "json"), ("dial-timeout", "3s"), ("command-timeout", "5s")];
    let mut command = etcdctl::command(member, credentials, endpoint, &["endpoint", "status"], &flags);
    if all {
        command.push("--cluster".to_owned());
    }
    command
}

fn reason(output: &ExecOutput) -> String {
    let said = crate::snapshot::etcdctl_error(&output.stderr);
    if said.is_empty() { output.reason.clone() } else { said }
}

/// Puts each answer where its member stands; `only` when a single member was asked for itself.
fn place(of: &mut [Option<MemberStatus>], members: &[Member], entries: Vec<Entry>, only: Option<usize>) {
    for entry in entries {
        let index = only.or_else(|| members.iter().position(|member| member.answers_at(&entry.endpoint)));
        if let Some(index) = index {
            of[index] = Some(entry.into_status());
        }
    }
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "Endpoint")]
    endpoint: String,
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

#[derive(Debug, Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "number")]
    member_id: u64,
    #[serde(default, deserialize_with = "number")]
    revision: u64,
}

impl Entry {
    fn into_status(self) -> MemberStatus {
        let status = self.status;
        let id = status.header.member_id;
        MemberStatus {
            id,
            leader: status.leader != 0 && status.leader == id,
            learner: status.is_learner,
            version: status.version,
            db_size: status.db_size,
            revision: status.header.revision,
            // etcd before 3.4 did not tell the applied index.
            applied: if status.raft_applied_index == 0 { status.raft_index } else { status.raft_applied_index },
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
    use super::super::member::tests::pod;
    use super::*;

    // Printed by etcdctl 3.6.8 on a kubeadm control plane; the errors were added.
    const ANSWER: &str = r#"[{"Endpoint":"https://10.77.0.11:2379","Status":{"header":{"cluster_id":12102231493559379567,"member_id":2677674080080550774,"revision":379,"raft_term":2},"version":"3.6.8","dbSize":593920,"leader":2677674080080550774,"raftIndex":414,"raftTerm":2,"raftAppliedIndex":414,"errors":["memberID:2677674080080550774 alarm:NOSPACE ","memberID:7 alarm:CORRUPT "],"dbSizeInUse":593920,"storageVersion":"3.6.0","dbSizeQuota":8589934592,"downgradeInfo":{}}}]"#;

    #[test]
    fn etcdctls_answer_is_read() {
        let entries: Vec<Entry> = serde_json::from_str(ANSWER).expect("it is etcdctl's");
        let status = entries.into_iter().next().expect("one").into_status();
        assert!(status.leader && !status.learner);
        assert_eq!((status.db_size, status.revision, status.applied), (593_920, 379, 414));
        assert_eq!(status.alarms, ["NOSPACE"]);
        assert!(!status.is_healthy());
    }

    #[test]
    fn numbers_may_be_text() {
        let text = ANSWER.replace("593920", "\"593920\"");
        let entries: Vec<Entry> = serde_json::from_str(&text).expect("both forms are read");
        assert_eq!(entries[0].status.db_size, 593_920);
    }

    #[test]
    fn a_variable_of_etcdctl_replaces_its_flag() {
        let mut pod = pod("etcd-cp1", &["etcd", "--listen-client-urls=https://127.0.0.1:2379"], true);
        pod.spec.as_mut().expect("it has one").containers[0].env =
            serde_json::from_value(serde_json::json!([{"name": "ETCDCTL_CERT", "value": "/c"}])).expect("variables");
        let member = Member::of(pod).expect("it runs etcd");
        let credentials = Credentials {
            origin: "test",
            cacert: None,
            pair: Some(("/c".into(), "/k".into())),
            in_member: true,
            mounts: None,
        };
        let command = command(&member, &credentials, None, true);
        assert!(!command.iter().any(|word| word.starts_with("--cert=")));
        assert!(command.contains(&"--key=/k".to_owned()));
    }
}
