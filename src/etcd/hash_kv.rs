//! The hash of each member's keys (etcd's HashKV).
//!
//! A member blocks its writes while it computes the hash, which takes as long as reading all keys. So the members are
//! asked one after the other, each with a time limit, and the leader last. Members with an alarm, learners and members
//! with a large database are not asked.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::EtcdClient;
use super::credentials::client_config::ClientConfig;
use super::credentials::pod_paths::Credentials;
use super::etcdctl;
use super::etcdctl::error::etcdctl_error;
use super::etcdctl::json::EtcdctlHeader;
use super::member::Member;
use super::member_status::MemberStatus;
use crate::error::Error;
use crate::k8s::KubeClient;

/// The hash of one member's keys and values (etcd `server/storage/mvcc/hash.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// The hash covers everything up to this revision.
    pub revision: i64,
    /// The compact revision of the member at that time, on which the hash depends; -1 without a compaction.
    pub compacted: i64,
    /// CRC-32C.
    pub hash: u32,
}

/// A member's hash, or why it has none, to be put after the member's name.
pub type HashResult = Result<HashKv, String>;

/// The limits within which members are asked.
#[derive(Debug, Clone, Copy)]
pub struct HashLimits {
    /// The largest database in bytes.
    pub max_size: u64,
    /// The longest time for one member.
    pub time: Duration,
}

/// The leader is not asked if another member took longer than this, because it would block the writes of the whole
/// cluster, and etcd fails a write after some seconds. A database that is not in memory takes that long.
const MAX_WRITE_PAUSE: Duration = Duration::from_secs(3);

/// Asks the members for their hashes; returns one result for each, in their order. `ask` asks the member with an index.
pub async fn query_hashes(
    statuses: &[Option<MemberStatus>],
    limits: HashLimits,
    ask: impl AsyncFn(usize) -> HashResult,
) -> Vec<HashResult> {
    query_hashes_by_clock(statuses, limits, ask, Instant::now).await
}

async fn query_hashes_by_clock(
    statuses: &[Option<MemberStatus>],
    limits: HashLimits,
    ask: impl AsyncFn(usize) -> HashResult,
    now: impl Fn() -> Instant,
) -> Vec<HashResult> {
    let is_leader = |index: usize| statuses[index].as_ref().is_some_and(|status| status.leader);
    let reasons = statuses.iter().map(|status| reason_not_to_ask(status.as_ref(), limits.max_size));
    let mut results: Vec<HashResult> = reasons.map(|reason| Err(reason.unwrap_or_default())).collect();
    let mut order: Vec<usize> = (0..statuses.len()).filter(|index| results[*index] == Err(String::new())).collect();
    order.sort_by_key(|index| is_leader(*index));
    let mut longest = Duration::ZERO;
    for index in order {
        if is_leader(index) && longest > MAX_WRITE_PAUSE {
            let seconds = longest.as_secs_f64();
            let reason = format!(
                "was not asked, because a hash took {seconds:.1} s on another member and the leader's writes would wait"
            );
            results[index] = Err(reason);
            continue;
        }
        let start = now();
        results[index] = ask(index).await;
        longest = longest.max(now().saturating_duration_since(start));
        tracing::info!(index, result = ?results[index], "hash of a member");
    }
    results
}

/// Returns why a member is not asked; `None` for one that is.
fn reason_not_to_ask(status: Option<&MemberStatus>, max_size: u64) -> Option<String> {
    let Some(status) = status else {
        return Some("was not asked, because its state is unknown".to_owned());
    };
    if !status.alarms.is_empty() {
        Some(format!("was not asked, because it has the alarm {}", status.alarms.join(" and ")))
    } else if status.learner {
        Some("was not asked, because it is a learner".to_owned())
    } else if status.db_size > max_size {
        Some("was not asked, because its database is larger than --hash-max-size".to_owned())
    } else {
        None
    }
}

/// A request for the hash of one member.
#[derive(Clone, Copy)]
pub struct HashRequest<'a> {
    pub client: &'a KubeClient,
    pub member: &'a Member,
    /// The ID in the member's status. A response with another ID is not from this member.
    pub id: u64,
    pub revision: i64,
    pub limit: Duration,
}

const FOR_ANOTHER: &str = "answered for another member";

impl HashRequest<'_> {
    /// Asks through etcdctl in the member's own container.
    pub async fn via_exec(&self, credentials: Option<&Credentials>, endpoint: Option<&str>) -> HashResult {
        let Some(credentials) = credentials else {
            return Err("was not asked, because its container has no certificate that etcd accepts".to_owned());
        };
        let rev = format!("--rev={}", self.revision);
        let timeout = format!("{}ms", self.limit.as_millis());
        let flags = [("write-out", "json"), ("dial-timeout", "3s"), ("command-timeout", timeout.as_str())];
        let command = etcdctl::command(self.member, credentials, endpoint, &["endpoint", "hashkv", &rev], &flags);
        // etcdctl keeps the limit itself. This one is for a stream that hangs.
        let stream_limit = self.limit + Duration::from_secs(5);
        let output = etcdctl::run(self.client, self.member, &command, stream_limit).await;
        let output = output.map_err(|failure| format!("did not answer: {}", failure.error().message()))?;
        parse_hash(&output.stdout, self.id, self.revision).unwrap_or_else(|| {
            let message = etcdctl_error(&output.stderr);
            Err(explain_failure(&message, &output.reason, self.revision, self.limit))
        })
    }

    /// Asks etcd's own API.
    pub async fn via_grpc(&self, config: &ClientConfig) -> HashResult {
        let response = async {
            let mut etcd = EtcdClient::connect(self.client, self.member, config, self.limit).await?;
            etcd.hash_kv(self.revision, self.limit).await
        };
        let response =
            response.await.map_err(|error: Error| explain_failure(error.message(), "", self.revision, self.limit))?;
        if response.header.is_none_or(|header| header.member_id != self.id) {
            return Err(FOR_ANOTHER.to_owned());
        }
        check_revision(self.revision, response.hash, response.compact_revision, response.hash_revision)
    }
}

/// Returns the hash, unless it is one of another revision. etcd before 3.6 does not repeat the revision.
fn check_revision(revision: i64, hash: u32, compacted: i64, hash_revision: i64) -> HashResult {
    if [0, revision].contains(&hash_revision) {
        Ok(HashKv { revision, compacted, hash })
    } else {
        Err(format!("answered for revision {hash_revision} instead of {revision}"))
    }
}

/// Explains a failure by its message (etcd `api/v3rpc/rpctypes/error.go`); without one, by `reason`.
fn explain_failure(message: &str, reason: &str, revision: i64, limit: Duration) -> String {
    match message {
        message if message.contains("has been compacted") => format!("has compacted revision {revision} already"),
        message if message.contains("future revision") => format!("has not reached revision {revision} yet"),
        message if message.contains("deadline exceeded") || message.contains("DeadlineExceeded") => {
            format!("did not answer within {}", humantime::format_duration(limit))
        }
        "" => format!("did not answer: {reason}"),
        message => format!("did not answer: {message}"),
    }
}

#[derive(Debug, Deserialize)]
struct EndpointHash {
    #[serde(rename = "HashKV")]
    response: HashResponse,
}

/// etcdctl leaves out fields that are zero. etcd before 3.6 does not repeat the revision.
#[derive(Debug, Deserialize)]
struct HashResponse {
    header: EtcdctlHeader,
    #[serde(default)]
    hash: u32,
    #[serde(default)]
    compact_revision: i64,
    #[serde(default)]
    hash_revision: i64,
}

/// Reads the hash of member `id` from the output of `etcdctl endpoint hashkv -w json`; `None` if that has no hash.
fn parse_hash(stdout: &str, id: u64, revision: i64) -> Option<HashResult> {
    let entries: Vec<EndpointHash> = serde_json::from_str::<Option<_>>(stdout.trim()).ok()??;
    entries.first()?;
    let own = entries.into_iter().map(|entry| entry.response).find(|response| response.header.member_id == id);
    let Some(response) = own else { return Some(Err(FOR_ANOTHER.to_owned())) };
    Some(check_revision(revision, response.hash, response.compact_revision, response.hash_revision))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const LIMITS: HashLimits = HashLimits { max_size: 1000, time: Duration::from_secs(1) };

    fn status(id: u64) -> MemberStatus {
        MemberStatus { id, db_size: 1000, has_leader: true, ..MemberStatus::default() }
    }

    /// Returns which members were asked, and the results, if each hash takes `time`.
    fn query(time: Duration, statuses: &[Option<MemberStatus>]) -> (Vec<usize>, Vec<HashResult>) {
        let asked = RefCell::new(Vec::new());
        let clock = Cell::new(Instant::now());
        let ask = async |index: usize| {
            asked.borrow_mut().push(index);
            clock.set(clock.get() + time);
            Ok(HashKv { revision: 7, compacted: 1, hash: 5 })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let results = runtime.block_on(query_hashes_by_clock(statuses, LIMITS, ask, || clock.get()));
        (asked.into_inner(), results)
    }

    #[test]
    fn the_leader_is_asked_last() {
        let leader = MemberStatus { leader: true, ..status(1) };
        let (asked, results) = query(MAX_WRITE_PAUSE, &[Some(leader), Some(status(2)), Some(status(3))]);
        assert_eq!(asked, [1, 2, 0]);
        assert!(results.iter().all(Result::is_ok));
    }

    #[test]
    fn a_leader_is_not_asked_if_its_writes_would_wait_long() {
        let leader = MemberStatus { leader: true, ..status(1) };
        let slow = MAX_WRITE_PAUSE + Duration::from_millis(1);
        let (asked, results) = query(slow, &[Some(leader.clone()), Some(status(2))]);
        assert_eq!(asked, [1]);
        let reason = results[0].as_ref().expect_err("it was not asked");
        assert_eq!(
            reason,
            "was not asked, because a hash took 3.0 s on another member and the leader's writes would wait"
        );
        // Without other members, its time is not known.
        assert_eq!(query(slow, &[Some(leader)]).0, [0]);
    }

    #[test]
    fn members_with_an_alarm_learners_and_large_ones_are_not_asked() {
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(1) };
        let learner = MemberStatus { learner: true, ..status(2) };
        let large = MemberStatus { db_size: 1001, ..status(3) };
        let (asked, results) = query(Duration::ZERO, &[Some(alarmed), Some(learner), Some(large), None]);
        assert!(asked.is_empty(), "{asked:?}");
        for (result, word) in results.iter().zip(["NOSPACE", "learner", "--hash-max-size", "unknown"]) {
            assert!(result.as_ref().expect_err("no member was asked").contains(word), "{result:?}");
        }
    }

    const OWN: u64 = 10_276_657_743_932_975_437;

    // Printed by etcdctl 3.6.8; 3.4 and 3.5 print the same without hash_revision.
    const RESPONSE: &str = r#"[{"Endpoint":"http://127.0.0.1:2379","HashKV":{"header":{"cluster_id":14841639068965178418,"member_id":10276657743932975437,"revision":9,"raft_term":2},"hash":1084519789,"compact_revision":4,"hash_revision":9}}]"#;

    #[test]
    fn a_response_of_etcdctl_is_read() {
        let expected = HashKv { revision: 9, compacted: 4, hash: 1_084_519_789 };
        assert_eq!(parse_hash(RESPONSE, OWN, 9), Some(Ok(expected)));
        assert_eq!(parse_hash(&RESPONSE.replace(r#","hash_revision":9"#, ""), OWN, 9), Some(Ok(expected)));
        let never_compacted = RESPONSE.replace("\"compact_revision\":4", "\"compact_revision\":-1");
        assert_eq!(parse_hash(&never_compacted, OWN, 9), Some(Ok(HashKv { compacted: -1, ..expected })));
    }

    #[test]
    fn a_response_for_another_revision_does_not_count() {
        assert_eq!(parse_hash(RESPONSE, OWN, 8), Some(Err("answered for revision 9 instead of 8".to_owned())));
        for nothing in ["null\n", "[]", ""] {
            assert_eq!(parse_hash(nothing, OWN, 9), None);
        }
    }

    #[test]
    fn a_response_of_another_member_does_not_count() {
        assert_eq!(parse_hash(RESPONSE, 7, 9), Some(Err(FOR_ANOTHER.to_owned())));
        let other = RESPONSE.replace(&OWN.to_string(), "7").replace("1084519789", "1");
        let both = format!("[{},{}]", other.trim_matches(['[', ']']), RESPONSE.trim_matches(['[', ']']));
        assert_eq!(parse_hash(&both, OWN, 9).map(|result| result.map(|hash| hash.hash)), Some(Ok(1_084_519_789)));
    }

    #[test]
    fn failures_are_explained() {
        let limit = Duration::from_secs(30);
        let compacted = "rpc error: code = OutOfRange desc = etcdserver: mvcc: required revision has been compacted";
        assert_eq!(explain_failure(compacted, "", 9, limit), "has compacted revision 9 already");
        assert_eq!(explain_failure("context deadline exceeded", "", 9, limit), "did not answer within 30s");
        assert_eq!(explain_failure("", "the container is gone", 9, limit), "did not answer: the container is gone");
    }
}
