//! What the members hold, as one number each: etcd's HashKV.
//!
//! A member that computes it holds the lock that its writes wait for, for as long as it takes to read all keys. So the
//! members are asked one after the other, the leader last and with a time limit each; a member that is in trouble, or
//! whose database is large, is left alone.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::EtcdClient;
use super::credentials::client_config::ClientConfig;
use super::credentials::pod_paths::Credentials;
use super::etcdctl::error::etcdctl_error;
use super::status::parse::Header;
use super::{Member, MemberStatus, etcdctl};
use crate::k8s::KubeClient;

/// One member's hash over its keys and values (etcd `server/storage/mvcc/hash.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// Everything up to this revision is in it.
    pub revision: i64,
    /// The revision to which the member had compacted its store when it computed the hash, which depends on it; -1
    /// for never.
    pub compacted: i64,
    /// CRC-32C.
    pub hash: u32,
}

/// A member's hash, or why there is none, in words that follow the member's name.
pub type HashResult = Result<HashKv, String>;

/// Which members are left alone.
#[derive(Debug, Clone, Copy)]
pub struct HashLimits {
    /// The largest database, in bytes, whose hash is asked for.
    pub max_size: u64,
    /// How long one member may take.
    pub time: Duration,
}

/// When the hash took another member longer than this, the leader is left alone: all writes of the cluster would wait
/// for it, and etcd lets a write fail after some seconds. A database that is not in memory takes that long.
const PATIENCE_OF_WRITERS: Duration = Duration::from_secs(3);

/// Asks the members for their hash at `revision`; one reply for each, in their order. `ask` asks a single one, by its
/// index.
pub async fn gather(
    statuses: &[Option<MemberStatus>],
    limits: HashLimits,
    ask: impl AsyncFn(usize) -> HashResult,
) -> Vec<HashResult> {
    let refusals = statuses.iter().map(|status| refusal(status.as_ref(), limits.max_size));
    let mut replies: Vec<HashResult> = refusals.map(|refusal| Err(refusal.unwrap_or_default())).collect();
    let mut order: Vec<usize> = (0..statuses.len()).filter(|index| replies[*index] == Err(String::new())).collect();
    order.sort_by_key(|index| statuses[*index].as_ref().is_some_and(|status| status.leader));
    let mut longest = Duration::ZERO;
    for index in order {
        let leads = statuses[index].as_ref().is_some_and(|status| status.leader);
        if leads && longest > PATIENCE_OF_WRITERS {
            let seconds = longest.as_secs_f64();
            let why =
                format!("was not asked: a hash took {seconds:.1} s elsewhere, and the leader's writes would wait");
            replies[index] = Err(why);
            continue;
        }
        let start = Instant::now();
        replies[index] = ask(index).await;
        longest = longest.max(start.elapsed());
        tracing::info!(index, reply = ?replies[index], "hash of a member");
    }
    replies
}

/// Why a member is left alone.
fn refusal(status: Option<&MemberStatus>, max_size: u64) -> Option<String> {
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

/// A member, and the ID under which it told its status.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who is asked.
    pub member: &'a Member,
    /// An answer with another ID is not this member's.
    pub id: u64,
}

const FOR_ANOTHER: &str = "answered for another member";

/// Asks one member through etcdctl in its own container.
pub async fn by_exec(
    cluster: &KubeClient,
    Asked { member, id }: Asked<'_>,
    credentials: Option<&Credentials>,
    endpoint: Option<&str>,
    revision: i64,
    time: Duration,
) -> HashResult {
    let Some(credentials) = credentials else {
        return Err("was not asked, because no certificate in its container opens it".to_owned());
    };
    let rev = format!("--rev={revision}");
    let limit = format!("{}ms", time.as_millis());
    let flags = [("write-out", "json"), ("dial-timeout", "3s"), ("command-timeout", limit.as_str())];
    let command = etcdctl::command(member, credentials, endpoint, &["endpoint", "hashkv", &rev], &flags);
    // etcdctl keeps the limit itself; ours is for a stream that hangs.
    let limit = time + Duration::from_secs(5);
    let output = etcdctl::run(cluster, member, &command, limit).await;
    let output = output.map_err(|failure| format!("did not answer: {}", failure.error().message()))?;
    parse(&output.stdout, id, revision)
        .unwrap_or_else(|| Err(explain(&etcdctl_error(&output.stderr), &output.reason, revision, time)))
}

/// Asks one member over a connection straight to etcd.
pub async fn by_rpc(
    cluster: &KubeClient,
    Asked { member, id }: Asked<'_>,
    opening: &ClientConfig,
    revision: i64,
    time: Duration,
) -> HashResult {
    let asked = async { EtcdClient::connect(cluster, member, opening, time).await?.hash_kv(revision, time).await };
    let answer = asked.await.map_err(|error| explain(error.message(), "", revision, time))?;
    if answer.header.is_none_or(|header| header.member_id != id) {
        return Err(FOR_ANOTHER.to_owned());
    }
    at(revision, answer.hash, answer.compact_revision, answer.hash_revision)
}

/// The answer, unless it is one for another revision.
fn at(revision: i64, hash: u32, compacted: i64, answered: i64) -> HashResult {
    if [0, revision].contains(&answered) {
        Ok(HashKv { revision, compacted, hash })
    } else {
        Err(format!("answered for revision {answered} instead of {revision}"))
    }
}

/// What a failure of `etcdctl endpoint hashkv` means (the words are those of etcd `api/v3rpc/rpctypes/error.go`).
fn explain(said: &str, reason: &str, revision: i64, time: Duration) -> String {
    match said {
        said if said.contains("has been compacted") => format!("has compacted revision {revision} already"),
        said if said.contains("future revision") => format!("has not come to revision {revision}"),
        said if said.contains("deadline exceeded") || said.contains("DeadlineExceeded") => {
            format!("did not answer within {}", humantime::format_duration(time))
        }
        "" => format!("did not answer: {reason}"),
        said => format!("did not answer: {said}"),
    }
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "HashKV")]
    answer: Answer,
}

/// Fields that are zero are left out. etcd before 3.6 does not repeat the revision.
#[derive(Debug, Deserialize)]
struct Answer {
    header: Header,
    #[serde(default)]
    hash: u32,
    #[serde(default)]
    compact_revision: i64,
    #[serde(default)]
    hash_revision: i64,
}

/// The answer of member `id` for `revision` from what `etcdctl endpoint hashkv -w json` printed; `None` when that is no
/// answer.
fn parse(stdout: &str, id: u64, revision: i64) -> Option<HashResult> {
    let entries: Vec<Entry> = serde_json::from_str::<Option<_>>(stdout.trim()).ok()??;
    entries.first()?;
    let own = entries.into_iter().map(|entry| entry.answer).find(|answer| answer.header.member_id == id);
    let Some(answer) = own else { return Some(Err(FOR_ANOTHER.to_owned())) };
    Some(at(revision, answer.hash, answer.compact_revision, answer.hash_revision))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LIMITS: HashLimits = HashLimits { max_size: 1000, time: Duration::from_secs(1) };

    fn status(id: u64) -> MemberStatus {
        MemberStatus { id, db_size: 1000, has_leader: true, ..MemberStatus::default() }
    }

    fn asked(statuses: &[Option<MemberStatus>]) -> (Vec<usize>, Vec<HashResult>) {
        asked_taking(Duration::ZERO, statuses)
    }

    fn asked_taking(time: Duration, statuses: &[Option<MemberStatus>]) -> (Vec<usize>, Vec<HashResult>) {
        let asked = RefCell::new(Vec::new());
        let ask = async |index: usize| {
            asked.borrow_mut().push(index);
            std::thread::sleep(time);
            Ok(HashKv { revision: 7, compacted: 1, hash: 5 })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let replies = runtime.block_on(gather(statuses, LIMITS, ask));
        (asked.into_inner(), replies)
    }

    #[test]
    fn the_leader_is_asked_last() {
        let leader = MemberStatus { leader: true, ..status(1) };
        let (asked, replies) = asked(&[Some(leader), Some(status(2)), Some(status(3))]);
        assert_eq!(asked, [1, 2, 0]);
        assert!(replies.iter().all(Result::is_ok));
    }

    #[test]
    fn a_leader_whose_writes_would_wait_long_is_left_alone() {
        let leader = MemberStatus { leader: true, ..status(1) };
        let slow = PATIENCE_OF_WRITERS + Duration::from_millis(50);
        let (asked, replies) = asked_taking(slow, &[Some(leader.clone()), Some(status(2))]);
        assert_eq!(asked, [1]);
        assert!(replies[0].as_ref().expect_err("it was spared").contains("the leader's writes would wait"));
        // Alone, it is the only one that can be asked.
        assert_eq!(asked_taking(Duration::ZERO, &[Some(leader)]).0, [0]);
    }

    #[test]
    fn members_in_trouble_and_large_ones_are_left_alone() {
        let alarmed = MemberStatus { alarms: vec!["NOSPACE".to_owned()], ..status(1) };
        let learner = MemberStatus { learner: true, ..status(2) };
        let large = MemberStatus { db_size: 1001, ..status(3) };
        let (asked, replies) = asked(&[Some(alarmed), Some(learner), Some(large), None]);
        assert!(asked.is_empty(), "{asked:?}");
        for (reply, word) in replies.iter().zip(["NOSPACE", "learner", "--hash-max-size", "unknown"]) {
            assert!(reply.as_ref().expect_err("nobody was asked").contains(word), "{reply:?}");
        }
    }

    const OWN: u64 = 10_276_657_743_932_975_437;

    // Printed by etcdctl 3.6.8; 3.4 and 3.5 print the same without hash_revision.
    const ANSWER: &str = r#"[{"Endpoint":"http://127.0.0.1:2379","HashKV":{"header":{"cluster_id":14841639068965178418,"member_id":10276657743932975437,"revision":9,"raft_term":2},"hash":1084519789,"compact_revision":4,"hash_revision":9}}]"#;

    #[test]
    fn etcdctls_answer_is_read() {
        let expected = HashKv { revision: 9, compacted: 4, hash: 1_084_519_789 };
        assert_eq!(parse(ANSWER, OWN, 9), Some(Ok(expected)));
        assert_eq!(parse(&ANSWER.replace(r#","hash_revision":9"#, ""), OWN, 9), Some(Ok(expected)));
        let never_compacted = ANSWER.replace("\"compact_revision\":4", "\"compact_revision\":-1");
        assert_eq!(parse(&never_compacted, OWN, 9), Some(Ok(HashKv { compacted: -1, ..expected })));
    }

    #[test]
    fn what_is_no_answer_to_the_question_counts_for_nothing() {
        assert_eq!(parse(ANSWER, OWN, 8), Some(Err("answered for revision 9 instead of 8".to_owned())));
        for nothing in ["null\n", "[]", ""] {
            assert_eq!(parse(nothing, OWN, 9), None);
        }
    }

    #[test]
    fn another_members_answer_is_not_taken_for_this_ones() {
        assert_eq!(parse(ANSWER, 7, 9), Some(Err(FOR_ANOTHER.to_owned())));
        let other = ANSWER.replace(&OWN.to_string(), "7").replace("1084519789", "1");
        let both = format!("[{},{}]", other.trim_matches(['[', ']']), ANSWER.trim_matches(['[', ']']));
        assert_eq!(parse(&both, OWN, 9).map(|reply| reply.map(|hash| hash.hash)), Some(Ok(1_084_519_789)));
    }

    #[test]
    fn etcds_refusals_read_as_sentences() {
        let time = Duration::from_secs(30);
        let compacted = "rpc error: code = OutOfRange desc = etcdserver: mvcc: required revision has been compacted";
        assert_eq!(explain(compacted, "", 9, time), "has compacted revision 9 already");
        assert_eq!(explain("context deadline exceeded", "", 9, time), "did not answer within 30s");
        assert_eq!(explain("", "the container is gone", 9, time), "did not answer: the container is gone");
    }
}
