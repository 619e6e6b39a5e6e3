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
use super::{Member, MemberProbe, MemberState, MemberWarning, etcdctl};
use crate::k8s::KubeClient;
use parse::{Entry, MemberStatus};

/// The answers, one for each member that was asked, in the same order.
#[derive(Debug, Default)]
pub struct Statuses {
    /// `None` for a member of which nothing was learned yet.
    pub probes: Vec<Option<MemberProbe>>,
    /// The credentials that worked in the first pod that answered, by their origin.
    pub verified_origin: Option<&'static str>,
    /// The members that have no pod; known once all is [finalized](Statuses::finalize).
    pub unmatched: Vec<UnmatchedMember>,
    /// The members that etcd lists, as far as it was asked.
    pub listed: Vec<MemberListEntry>,
    /// Why the members could not be asked for all at once.
    unlisted: Option<String>,
    /// What could not be learned, and why.
    pub warnings: Vec<MemberWarning>,
}

/// The longest time that one exec may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What is asked of the members, and with what.
struct Question<'q> {
    client: &'q KubeClient,
    members: &'q [MemberState],
    /// `--pod-endpoint`.
    endpoint: Option<&'q str>,
}

/// Asks the members of which `found` knows nothing yet. Never fails: what cannot be learned is a warning.
pub async fn gather(client: &KubeClient, members: &[MemberState], endpoint: Option<&str>, found: &mut Statuses) {
    let question = Question { client, members, endpoint };
    found.unlisted = question.all(found).await.err();
    question.each_alone(found).await;
}

impl Statuses {
    /// Of `members` members nothing is known.
    pub fn unknown(members: usize) -> Self {
        Statuses { probes: vec![None; members], ..Statuses::default() }
    }

    fn status(&self, index: usize) -> Option<&MemberStatus> {
        self.probes[index].as_ref().and_then(MemberProbe::status)
    }

    /// Reports whether a member has not answered.
    pub fn is_incomplete(&self) -> bool {
        (0..self.probes.len()).any(|index| self.status(index).is_none())
    }

    /// Keeps the first reason for which a member has no status.
    fn note_unknown(&mut self, index: usize, reason: &str) {
        self.probes[index].get_or_insert_with(|| MemberProbe::Unknown(reason.to_owned()));
    }

    /// Says what could not be learned in the end of `members`.
    pub fn finalize(&mut self, members: &[MemberState]) {
        let asked: Vec<(&Member, Option<&MemberStatus>)> =
            members.iter().enumerate().map(|(index, state)| (&state.member, self.status(index))).collect();
        self.unmatched = unmatched(&asked, &self.listed);
        for member in &self.unmatched {
            let at = if member.endpoint.is_empty() {
                "that has not started yet".to_owned()
            } else {
                format!("at {}", member.endpoint)
            };
            let silent = if member.silent { " that does not answer and" } else { "" };
            let message = format!("etcd has a member {at}{silent} for which there is no pod; it is not shown");
            self.warnings.push(MemberWarning { message, reason: None });
        }
        let probes = || self.probes.iter().flatten();
        let first = probes().find_map(MemberProbe::reason);
        let (message, reason) = match (first, &self.unlisted) {
            (Some(reason), _) if probes().all(|probe| probe.status().is_none()) => {
                (format!("roles and health of the members are unknown: {reason}"), Some(reason.to_owned()))
            }
            _ if has_quorum(probes()) == Some(false) => {
                let lost = "etcd has lost its quorum: no member knows a leader; a member can still be backed up";
                (lost.to_owned(), None)
            }
            (_, Some(reason)) if self.is_incomplete() => {
                (format!("the members could not be listed: {reason}"), Some(reason.clone()))
            }
            _ => return,
        };
        self.warnings.push(MemberWarning { message, reason });
    }
}

/// See [`super::MemberSet::has_quorum`].
pub fn has_quorum<'p>(probes: impl Iterator<Item = &'p MemberProbe>) -> Option<bool> {
    let mut answered = probes.filter_map(MemberProbe::status).peekable();
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
        order.sort_by_key(|index| !self.members[*index].member.is_ready());
        let mut last = "no pod could be asked".to_owned();
        for index in order {
            for credentials in self.usable(index, None) {
                match self.ask(index, credentials, true).await {
                    Ask::Answered(entries, silent) => {
                        found.verified_origin = Some(credentials.origin);
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
                    Ask::Failed(reason) if self.members[index].member.is_ready() => return Err(reason),
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
        let missing: Vec<usize> = (0..self.members.len()).filter(|index| found.status(*index).is_none()).collect();
        let worked = found.verified_origin;
        let answers = join_all(missing.iter().map(|index| self.alone(*index, worked))).await;
        for (index, answer) in missing.into_iter().zip(answers) {
            match answer {
                Ok((entries, origin)) => match self.own(index, entries) {
                    Some(entry) => {
                        found.verified_origin.get_or_insert(origin);
                        found.probes[index] = Some(MemberProbe::Ok(entry.into_status()));
                    }
                    None => found.probes[index] = Some(MemberProbe::Unknown(NOT_ITS_OWN.to_owned())),
                },
                Err(probe) => found.probes[index] = Some(probe),
            }
        }
    }

    async fn alone(
        &self,
        index: usize,
        worked: Option<&'static str>,
    ) -> Result<(Vec<Entry>, &'static str), MemberProbe> {
        let member = &self.members[index].member;
        // Others answered: a pod that says itself that it does not run need not be waited for.
        if worked.is_some() && !member.is_ready() {
            return Err(MemberProbe::Down(format!("pod {} is not ready: {}", member.pod_name, member.why_not_ready())));
        }
        let mut probe = MemberProbe::Unknown(format!("no certificate of pod {} can be used there", member.pod_name));
        for credentials in self.usable(index, worked) {
            probe = match self.ask(index, credentials, false).await {
                Ask::Answered(entries, _) => return Ok((entries, credentials.origin)),
                Ask::Failed(reason) if wants_another_pair(&reason) => MemberProbe::Unknown(reason),
                Ask::Failed(reason) => MemberProbe::Down(reason),
                Ask::NotAsked(reason) if !member.is_ready() => MemberProbe::Down(reason),
                Ask::NotAsked(reason) | Ask::Refused(reason) => return Err(MemberProbe::Unknown(reason)),
            };
        }
        Err(probe)
    }

    fn usable(&self, index: usize, worked: Option<&'static str>) -> impl Iterator<Item = &Credentials> {
        let usable = self.members[index].credentials.iter().filter(|candidate| candidate.usable_in_etcd_container);
        usable.filter(move |candidate| worked.is_none_or(|worked| worked == candidate.origin))
    }

    async fn ask(&self, index: usize, credentials: &Credentials, all: bool) -> Ask {
        let member = &self.members[index].member;
        let command = command(member, credentials, self.endpoint, all);
        match etcdctl::run(self.client, member, &command, LIMIT).await {
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
            match self.members.iter().position(|state| state.member.advertises(&url)) {
                Some(index) => found.probes[index] = Some(MemberProbe::Ok(status)),
                None => rest.push((url, status)),
            }
        }
        for (url, status) in rest {
            let answers =
                |index: &usize| found.status(*index).is_none() && self.members[*index].member.answers_at(&url);
            if let Some(index) = (0..self.members.len()).find(answers) {
                found.probes[index] = Some(MemberProbe::Ok(status));
            }
        }
    }

    /// The one answer that is the member's own, of those that its pod gave.
    fn own(&self, index: usize, mut entries: Vec<Entry>) -> Option<Entry> {
        let member = &self.members[index].member;
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
    use crate::test_support::pod;

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
        let probe = |has_leader| MemberProbe::Ok(MemberStatus { has_leader, ..MemberStatus::default() });
        let silent = || MemberProbe::Unknown("forbidden".to_owned());
        let quorum = |probes: &[MemberProbe]| has_quorum(probes.iter());
        assert_eq!(quorum(&[silent(), silent()]), None);
        assert_eq!(quorum(&[silent(), probe(false)]), Some(false));
        assert_eq!(quorum(&[probe(false), probe(true)]), Some(true));
    }
}
