//! Asks for the status of the members with `etcdctl endpoint status` in the etcd containers.
//!
//! Every etcd image has etcdctl, also those without a shell. One call asks all members. It needs the member list, which
//! needs a quorum, and a cluster without a quorum is when a backup matters most. So if that call fails, each pod is asked
//! for its own member alone, all at the same time.

use std::time::Duration;

use futures::future::join_all;

use super::Statuses;
use super::parse::{EndpointStatus, parse_failed_endpoints, parse_statuses};
use crate::etcd::credentials::pod_paths::Credentials;
use crate::etcd::etcdctl;
use crate::etcd::etcdctl::error::{etcdctl_error, is_tls};
use crate::etcd::member::Member;
use crate::etcd::member_state::{MemberProbe, MemberState};
use crate::etcd::unmatched::MemberListEntry;
use crate::k8s::KubeClient;

/// The longest time that one call may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The reason for a member whose pod reports others.
const NOT_ITS_OWN: &str = "etcdctl reports other members than its own, because ETCDCTL_ENDPOINTS of the etcd container names them and its image has no shell to unset it";

/// Asks the members that have no status in `found` yet. It does not fail; what stays unknown becomes a warning.
pub async fn fill_statuses(client: &KubeClient, members: &[MemberState], endpoint: Option<&str>, found: &mut Statuses) {
    let query = StatusQuery { client, members, endpoint };
    found.list_failure = query.query_cluster(found).await.err();
    query.query_missing(found).await;
}

struct StatusQuery<'q> {
    client: &'q KubeClient,
    members: &'q [MemberState],
    /// `--pod-endpoint`.
    endpoint: Option<&'q str>,
}

/// How a call of etcdctl ended.
enum CallResult {
    Answered {
        statuses: Vec<EndpointStatus>,
        failed_endpoints: Vec<String>,
    },
    /// etcdctl failed.
    Failed(String),
    /// etcdctl did not run.
    NotStarted(String),
    /// The API server does not allow commands in this pod.
    Forbidden(String),
}

impl StatusQuery<'_> {
    /// Asks one pod after the other for all members until one answers.
    async fn query_cluster(&self, found: &mut Statuses) -> Result<(), String> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|index| !self.members[*index].member.is_ready());
        let mut last_reason = "there is no pod to ask".to_owned();
        for index in order {
            for credentials in self.usable_credentials(index, None) {
                match self.run_etcdctl(index, credentials, true).await {
                    CallResult::Answered { statuses, failed_endpoints } => {
                        found.verified_origin = Some(credentials.origin);
                        self.assign(found, statuses);
                        found.listed.extend(failed_endpoints.into_iter().map(MemberListEntry::from_url));
                        return Ok(());
                    }
                    CallResult::Failed(reason) if is_certificate_error(&reason) => last_reason = reason,
                    // A learner does not list members; another pod does.
                    CallResult::Failed(reason) if reason.contains("learner") => {
                        last_reason = reason;
                        break;
                    }
                    // Every other pod would fail in the same way, after the same wait.
                    CallResult::Failed(reason) if self.members[index].member.is_ready() => return Err(reason),
                    CallResult::Failed(reason) | CallResult::NotStarted(reason) | CallResult::Forbidden(reason) => {
                        last_reason = reason;
                        break;
                    }
                }
            }
        }
        Err(last_reason)
    }

    /// Asks each pod whose member has no status yet for its own status.
    async fn query_missing(&self, found: &mut Statuses) {
        let missing: Vec<usize> = (0..self.members.len()).filter(|index| found.status(*index).is_none()).collect();
        let verified = found.verified_origin;
        let answers = join_all(missing.iter().map(|index| self.query_member(*index, verified))).await;
        for (index, answer) in missing.into_iter().zip(answers) {
            let probe = match answer {
                Ok((statuses, origin)) => match self.find_own(index, statuses) {
                    Some(status) => {
                        found.verified_origin.get_or_insert(origin);
                        MemberProbe::Ok(status.into_status())
                    }
                    None => MemberProbe::Unknown(NOT_ITS_OWN.to_owned()),
                },
                Err(probe) => probe,
            };
            found.probes[index] = Some(probe);
        }
    }

    async fn query_member(
        &self,
        index: usize,
        verified: Option<&'static str>,
    ) -> Result<(Vec<EndpointStatus>, &'static str), MemberProbe> {
        let member = &self.members[index].member;
        // Other members answered, so a pod that is not ready is not worth a wait.
        if verified.is_some() && !member.is_ready() {
            return Err(MemberProbe::Down(format!("pod {} is not ready: {}", member.pod_name, member.why_not_ready())));
        }
        let mut probe =
            MemberProbe::Unknown(format!("pod {} has no certificate that its etcdctl can use", member.pod_name));
        for credentials in self.usable_credentials(index, verified) {
            probe = match self.run_etcdctl(index, credentials, false).await {
                CallResult::Answered { statuses, .. } => return Ok((statuses, credentials.origin)),
                CallResult::Failed(reason) if is_certificate_error(&reason) => MemberProbe::Unknown(reason),
                CallResult::Failed(reason) => MemberProbe::Down(reason),
                CallResult::NotStarted(reason) if !member.is_ready() => MemberProbe::Down(reason),
                CallResult::NotStarted(reason) | CallResult::Forbidden(reason) => {
                    return Err(MemberProbe::Unknown(reason));
                }
            };
        }
        Err(probe)
    }

    /// Returns the credentials that etcdctl can use in the pod; if some are `verified`, those of this origin alone.
    fn usable_credentials(&self, index: usize, verified: Option<&'static str>) -> impl Iterator<Item = &Credentials> {
        let usable = self.members[index].credentials.iter().filter(|candidate| candidate.usable_in_etcd_container);
        usable.filter(move |candidate| verified.is_none_or(|origin| origin == candidate.origin))
    }

    async fn run_etcdctl(&self, index: usize, credentials: &Credentials, whole_cluster: bool) -> CallResult {
        let member = &self.members[index].member;
        let command = status_command(member, credentials, self.endpoint, whole_cluster);
        match etcdctl::run(self.client, member, &command, LIMIT).await {
            Ok(output) => match parse_statuses(&output.stdout) {
                Some(statuses) => {
                    CallResult::Answered { statuses, failed_endpoints: parse_failed_endpoints(&output.stderr) }
                }
                None => match etcdctl_error(&output.stderr) {
                    reason if reason.is_empty() => CallResult::NotStarted(output.reason),
                    reason => CallResult::Failed(reason),
                },
            },
            Err(failure) if failure.is_forbidden() => CallResult::Forbidden(failure.error().message().to_owned()),
            Err(failure) => CallResult::NotStarted(failure.error().message().to_owned()),
        }
    }

    /// Assigns each status to its member. A pod that advertises the very URL comes before one on the same host.
    fn assign(&self, found: &mut Statuses, statuses: Vec<EndpointStatus>) {
        let mut unassigned = Vec::new();
        for (url, status) in statuses.into_iter().map(|status| (status.endpoint.clone(), status.into_status())) {
            found.listed.push(MemberListEntry {
                id: Some(status.id),
                urls: vec![url.clone()],
                learner: status.learner,
            });
            match self.members.iter().position(|state| state.member.advertises(&url)) {
                Some(index) => found.probes[index] = Some(MemberProbe::Ok(status)),
                None => unassigned.push((url, status)),
            }
        }
        for (url, status) in unassigned {
            let answers =
                |index: &usize| found.status(*index).is_none() && self.members[*index].member.answers_at(&url);
            if let Some(index) = (0..self.members.len()).find(answers) {
                found.probes[index] = Some(MemberProbe::Ok(status));
            }
        }
    }

    /// Returns the status of the member's own endpoint, if exactly one of those that its pod reported is.
    fn find_own(&self, index: usize, mut statuses: Vec<EndpointStatus>) -> Option<EndpointStatus> {
        let member = &self.members[index].member;
        let local = member.local_endpoint();
        let asked = self.endpoint.unwrap_or(&local);
        let criteria: [&dyn Fn(&str) -> bool; 3] =
            [&|url| url == asked, &|url| member.advertises(url), &|url| member.answers_at(url)];
        let only_match = |is_own: &&dyn Fn(&str) -> bool| {
            let mut own = (0..statuses.len()).filter(|index| is_own(&statuses[*index].endpoint));
            own.next().filter(|_| own.next().is_none())
        };
        let own = criteria.iter().find_map(only_match)?;
        Some(statuses.swap_remove(own))
    }
}

/// Reports whether the certificate was refused or does not exist, so that the next candidate may work.
fn is_certificate_error(reason: &str) -> bool {
    is_tls(reason) || ["no such file", "permission denied"].iter().any(|text| reason.contains(text))
}

fn status_command(
    member: &Member,
    credentials: &Credentials,
    endpoint: Option<&str>,
    whole_cluster: bool,
) -> Vec<String> {
    let flags = [("write-out", "json"), ("dial-timeout", "3s"), ("command-timeout", "5s")];
    let mut command = etcdctl::command(member, credentials, endpoint, &["endpoint", "status"], &flags);
    if whole_cluster {
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
        let command = status_command(&member, &credentials, None, true);
        assert!(!command.iter().any(|word| word.starts_with("--cert=")));
        assert!(command.contains(&"--key=/k".to_owned()));
    }
}
