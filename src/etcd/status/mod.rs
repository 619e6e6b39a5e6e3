//! How the members fare, as `etcdctl endpoint status` tells.
//!
//! etcdctl runs in the etcd container itself: it is there even in images that hold no shell. One call asks all
//! members; where that gives no answer (the members' list needs a quorum, and a cluster without one is when a backup
//! matters most) each pod is asked for its own member alone, all at the same time.

pub mod parse;
pub mod via_grpc;

use std::time::Duration;

use futures::future::join_all;

use super::credentials::pod_paths::Credentials;
use super::etcdctl::error::{etcdctl_error, is_tls};
use super::unmatched::{MemberListEntry, UnmatchedMember, unmatched};
use super::{Member, etcdctl};
use crate::k8s::KubeClient;
use parse::{Entry, MemberStatus};

/// The answers, one for each member that was asked, in the same order.
#[derive(Debug, Default)]
pub struct Statuses {
    /// `None` for a member that did not answer, or whose answer cannot be told apart.
    pub of: Vec<Option<MemberStatus>>,
    /// Why there is no status, for each member that has none.
    pub silent: Vec<Option<Silence>>,
    /// The credentials that worked in the first pod that answered, by their origin.
    pub worked: Option<&'static str>,
    /// The members that have no pod; known once all is [concluded](Statuses::conclude).
    pub unmatched: Vec<UnmatchedMember>,
    /// The members that etcd lists, as far as it was asked.
    pub listed: Vec<MemberListEntry>,
    /// Why the members could not be asked for all at once.
    unlisted: Option<String>,
    /// What could not be learned, and why.
    pub warnings: Vec<String>,
}

/// Why a member said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// It was asked and does not serve; or its pod says that it does not.
    Down(String),
    /// It could not be asked, so nothing is known of it.
    Unknown(String),
}

impl Silence {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Silence::Down(reason) | Silence::Unknown(reason) => reason,
        }
    }
}

/// The longest time that one exec may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What is asked of the members, and with what.
pub struct Question<'q> {
    pub cluster: &'q KubeClient,
    pub members: &'q [Member],
    /// Each member's certificates.
    pub candidates: &'q [Vec<Credentials>],
    /// `--pod-endpoint`.
    pub endpoint: Option<&'q str>,
}

/// Asks the members of which `found` knows nothing yet. `candidates` gives each member's credentials. Never fails: what
/// cannot be learned is a warning.
pub async fn gather(
    cluster: &KubeClient,
    members: &[Member],
    candidates: &[Vec<Credentials>],
    endpoint: Option<&str>,
    found: &mut Statuses,
) {
    let question = Question { cluster, members, candidates, endpoint };
    found.unlisted = question.all(found).await.err();
    question.each_alone(found).await;
}

impl Statuses {
    /// Of `members` members nothing is known.
    pub fn unknown(members: usize) -> Self {
        Statuses { of: vec![None; members], silent: vec![None; members], ..Statuses::default() }
    }

    fn answered(&mut self, index: usize, status: MemberStatus) {
        self.of[index] = Some(status);
        self.silent[index] = None;
    }

    /// Some member has said nothing.
    pub fn is_incomplete(&self) -> bool {
        self.of.iter().any(Option::is_none)
    }

    /// Says what could not be learned in the end of `members`.
    pub fn finalize(&mut self, members: &[Member]) {
        self.unmatched = unmatched(members, &self.of, &self.listed);
        for stranger in &self.unmatched {
            let at = if stranger.endpoint.is_empty() {
                "that has not started yet".to_owned()
            } else {
                format!("at {}", stranger.endpoint)
            };
            let silent = if stranger.silent { " that does not answer and" } else { "" };
            self.warnings.push(format!("etcd has a member {at}{silent} for which there is no pod; it is not shown"));
        }
        let first = self.silent.iter().flatten().next().map(Silence::reason);
        if let (true, Some(reason)) = (self.of.iter().all(Option::is_none), first) {
            self.warnings.push(format!("roles and health of the members are unknown: {reason}"));
        } else if has_quorum(&self.of) == Some(false) {
            self.warnings
                .push("etcd has lost its quorum: no member knows a leader; a member can still be backed up".to_owned());
        } else if let (Some(reason), true) = (&self.unlisted, self.is_incomplete()) {
            self.warnings.push(format!("the members could not be listed: {reason}"));
        }
    }
}

/// Whether etcd has a quorum: a member knows a leader only while there is one (etcd checks it once an election
/// timeout). `None` when no member answered.
pub fn has_quorum(statuses: &[Option<MemberStatus>]) -> Option<bool> {
    let mut answered = statuses.iter().flatten().peekable();
    answered.peek()?;
    Some(answered.any(|status| status.has_leader))
}

enum Ask {
    /// The answers, and the endpoints that gave none.
    Answered(Vec<Entry>, Vec<String>),
    /// etcdctl ran and failed.
    Failed(String),
    /// etcdctl did not run.
    NotAsked(String),
    /// We may not run commands in this pod.
    Refused(String),
}

impl Question<'_> {
    /// Asks one pod after the other for all members until one answers.
    async fn all(&self, found: &mut Statuses) -> Result<(), String> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|index| !self.members[*index].is_ready());
        let mut last = "no pod could be asked".to_owned();
        for index in order {
            for credentials in self.usable(index, None) {
                match self.ask(index, credentials, true).await {
                    Ask::Answered(entries, silent) => {
                        found.worked = Some(credentials.origin);
                        self.place(found, entries);
                        let silent =
                            silent.into_iter().map(|url| MemberListEntry { id: None, urls: vec![url], learner: false });
                        found.listed.extend(silent);
                        return Ok(());
                    }
                    Ask::Failed(reason) if wants_another_pair(&reason) => last = reason,
                    // A learner lists no members; another pod does.
                    Ask::Failed(reason) if reason.contains("learner") => {
                        last = reason;
                        break;
                    }
                    // Every other pod would say the same, after the same wait.
                    Ask::Failed(reason) if self.members[index].is_ready() => return Err(reason),
                    Ask::Failed(reason) | Ask::NotAsked(reason) | Ask::Refused(reason) => {
                        last = reason;
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Asks each pod whose member is still unknown for its own status.
    async fn each_alone(&self, found: &mut Statuses) {
        let missing: Vec<usize> = (0..self.members.len()).filter(|index| found.of[*index].is_none()).collect();
        let worked = found.worked;
        let answers = join_all(missing.iter().map(|index| self.alone(*index, worked))).await;
        for (index, answer) in missing.into_iter().zip(answers) {
            match answer {
                Ok((entries, origin)) => match self.own(index, entries) {
                    Some(entry) => {
                        found.worked.get_or_insert(origin);
                        found.answered(index, entry.into_status());
                    }
                    None => found.silent[index] = Some(Silence::Unknown(NOT_ITS_OWN.to_owned())),
                },
                Err(silence) => found.silent[index] = Some(silence),
            }
        }
    }

    async fn alone(&self, index: usize, worked: Option<&'static str>) -> Result<(Vec<Entry>, &'static str), Silence> {
        let member = &self.members[index];
        // Others answered: a pod that says itself that it does not run need not be waited for.
        if worked.is_some() && !member.is_ready() {
            return Err(Silence::Down(format!("pod {} is not ready: {}", member.pod_name, member.why_not_ready())));
        }
        let mut silence = Silence::Unknown(format!("no certificate of pod {} can be used there", member.pod_name));
        for credentials in self.usable(index, worked) {
            silence = match self.ask(index, credentials, false).await {
                Ask::Answered(entries, _) => return Ok((entries, credentials.origin)),
                Ask::Failed(reason) if wants_another_pair(&reason) => Silence::Unknown(reason),
                Ask::Failed(reason) => Silence::Down(reason),
                Ask::NotAsked(reason) if !member.is_ready() => Silence::Down(reason),
                Ask::NotAsked(reason) | Ask::Refused(reason) => return Err(Silence::Unknown(reason)),
            };
        }
        Err(silence)
    }

    fn usable(&self, index: usize, worked: Option<&'static str>) -> impl Iterator<Item = &Credentials> {
        let usable = self.candidates[index].iter().filter(|candidate| candidate.usable_in_etcd_container);
        usable.filter(move |candidate| worked.is_none_or(|worked| worked == candidate.origin))
    }

    async fn ask(&self, index: usize, credentials: &Credentials, all: bool) -> Ask {
        let member = &self.members[index];
        let command = command(member, credentials, self.endpoint, all);
        match etcdctl::run(self.cluster, member, &command, LIMIT).await {
            Ok(output) => match parse::read(&output.stdout) {
                Some(entries) => Ask::Answered(entries, parse::silent(&output.stderr)),
                None => match etcdctl_error(&output.stderr) {
                    said if said.is_empty() => Ask::NotAsked(output.reason),
                    said => Ask::Failed(said),
                },
            },
            Err(failure) if failure.is_forbidden() => Ask::Refused(failure.error().message().to_owned()),
            Err(failure) => Ask::NotAsked(failure.error().message().to_owned()),
        }
    }

    /// Puts each answer where its member stands. An answer of the very URL that a pod advertises goes before one from the
    /// same host.
    fn place(&self, found: &mut Statuses, entries: Vec<Entry>) {
        let mut rest = Vec::new();
        for (url, status) in entries.into_iter().map(|entry| (entry.endpoint.clone(), entry.into_status())) {
            found.listed.push(MemberListEntry {
                id: Some(status.id),
                urls: vec![url.clone()],
                learner: status.learner,
            });
            match self.members.iter().position(|member| member.advertises(&url)) {
                Some(index) => found.answered(index, status),
                None => rest.push((url, status)),
            }
        }
        for (url, status) in rest {
            let answers = |index: &usize| found.of[*index].is_none() && self.members[*index].answers_at(&url);
            if let Some(index) = (0..self.members.len()).find(answers) {
                found.answered(index, status);
            }
        }
    }

    /// The one answer that is the member's own, of those that its pod gave.
    fn own(&self, index: usize, mut entries: Vec<Entry>) -> Option<Entry> {
        let member = &self.members[index];
        let local = member.local_endpoint();
        let asked = self.endpoint.unwrap_or(&local);
        let matches: [&dyn Fn(&str) -> bool; 3] =
            [&|url| url == asked, &|url| member.advertises(url), &|url| member.answers_at(url)];
        let only = |matches: &&dyn Fn(&str) -> bool| {
            let mut found = (0..entries.len()).filter(|index| matches(&entries[*index].endpoint));
            found.next().filter(|_| found.next().is_none())
        };
        let own = matches.iter().find_map(only)?;
        Some(entries.swap_remove(own))
    }
}

/// Why the answer of a pod is none.
const NOT_ITS_OWN: &str = "etcdctl answers for other members than its own: ETCDCTL_ENDPOINTS of the etcd container names them, and its image has no shell to unset it";

/// The certificate was not accepted, or is not there: the next candidate may be.
fn wants_another_pair(reason: &str) -> bool {
    is_tls(reason) || ["no such file", "permission denied"].iter().any(|words| reason.contains(words))
}

fn command(member: &Member, credentials: &Credentials, endpoint: Option<&str>, all: bool) -> Vec<String> {
    let flags = [("write-out", "json"), ("dial-timeout", "3s"), ("command-timeout", "5s")];
    let mut command = etcdctl::command(member, credentials, endpoint, &["endpoint", "status"], &flags);
    if all {
        command.push("--cluster".to_owned());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::member::tests::pod;

    #[test]
    fn a_variable_of_etcdctl_replaces_its_flag() {
        let mut pod = pod("etcd-cp1", &["etcd", "--listen-client-urls=https://127.0.0.1:2379"], true);
        pod.spec.as_mut().expect("it has one").containers[0].env =
            serde_json::from_value(serde_json::json!([{"name": "ETCDCTL_CERT", "value": "/c"}])).expect("variables");
        let member = Member::from_pod(pod).expect("it runs etcd");
        let credentials = Credentials {
            origin: "test",
            cacert: None,
            client_cert: Some(("/c".into(), "/k".into())),
            usable_in_etcd_container: true,
            mounts: None,
        };
        let command = command(&member, &credentials, None, true);
        assert!(!command.iter().any(|word| word.starts_with("--cert=")));
        assert!(command.contains(&"--key=/k".to_owned()));
    }

    #[test]
    fn a_quorum_is_what_one_member_knows_of() {
        let status = |has_leader| Some(MemberStatus { has_leader, ..MemberStatus::default() });
        assert_eq!(has_quorum(&[None, None]), None);
        assert_eq!(has_quorum(&[None, status(false)]), Some(false));
        assert_eq!(has_quorum(&[status(false), status(true)]), Some(true));
    }
}
