//! Members that etcd lists and that have no pod here: nothing else would show them, and a majority is one of all
//! members.

use super::client::ListedMember;
use super::{Member, MemberStatus};

/// A member, or one of its URLs, as the other members list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberListEntry {
    /// Its ID, unless all that is known is that a URL does not answer.
    pub id: Option<u64>,
    /// Where it serves clients.
    pub urls: Vec<String>,
    pub learner: bool,
}

impl From<ListedMember> for MemberListEntry {
    fn from(member: ListedMember) -> Self {
        MemberListEntry { id: Some(member.id), urls: member.client_urls, learner: member.is_learner }
    }
}

/// A member without a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedMember {
    /// Where it serves clients; empty for a member that has not started.
    pub endpoint: String,
    /// It was asked and did not answer.
    pub silent: bool,
    /// It is no learner, as far as is known.
    pub votes: bool,
}

/// Those of the `listed` that are none of `members`. A pod whose member did not answer stands for one that is listed:
/// the one with its address, else any.
pub fn unmatched(members: &[(&Member, Option<&MemberStatus>)], listed: &[MemberListEntry]) -> Vec<UnmatchedMember> {
    let known = |id: u64| members.iter().any(|(_, status)| status.is_some_and(|status| status.id == id));
    let mut silent: Vec<&Member> =
        members.iter().filter(|(_, status)| status.is_none()).map(|(member, _)| *member).collect();
    let mut ids = Vec::new();
    let mut found = Vec::new();
    for one in listed {
        match one.id {
            Some(id) if known(id) || ids.contains(&id) => continue,
            Some(id) => ids.push(id),
            // Another URL of a member that has answered.
            None if members.iter().any(|(member, status)| status.is_some() && is_at(one, member)) => continue,
            None => {}
        }
        let at = |matches: fn(&Member, &str) -> bool| {
            silent.iter().position(|member| one.urls.iter().any(|url| matches(member, url)))
        };
        match at(Member::advertises).or_else(|| at(Member::answers_at)) {
            Some(index) => drop(silent.remove(index)),
            None => found.push(UnmatchedMember {
                endpoint: one.urls.first().cloned().unwrap_or_default(),
                silent: one.id.is_none(),
                votes: !one.learner,
            }),
        }
    }
    found.split_off(silent.len().min(found.len()))
}

fn is_at(one: &MemberListEntry, member: &Member) -> bool {
    one.urls.iter().any(|url| member.advertises(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    fn member(number: u8) -> Member {
        let advertised = format!("--advertise-client-urls=https://10.0.0.{number}:2379");
        let mut pod = pod(&format!("etcd-cp{number}"), &["etcd", &advertised], true);
        let address = Some(format!("10.0.0.{number}"));
        let status = pod.status.as_mut().expect("it has one");
        (status.pod_ip, status.host_ip) = (address.clone(), address);
        Member::from_pod(pod).expect("it runs etcd")
    }

    fn status(id: u64) -> Option<MemberStatus> {
        Some(MemberStatus { id, ..MemberStatus::default() })
    }

    fn listed(id: u64, url: &str) -> MemberListEntry {
        MemberListEntry { id: (id != 0).then_some(id), urls: vec![url.to_owned()], learner: false }
    }

    fn found(of: &[Option<MemberStatus>], listed: &[MemberListEntry]) -> Vec<String> {
        let members: Vec<Member> = (1..=of.len() as u8).map(member).collect();
        let asked: Vec<_> = members.iter().zip(of).map(|(member, status)| (member, status.as_ref())).collect();
        unmatched(&asked, listed).into_iter().map(|stranger| stranger.endpoint).collect()
    }

    #[test]
    fn members_without_a_pod_are_strangers_whether_they_answer_or_not() {
        let three = [
            listed(1, "https://10.0.0.1:2379"),
            listed(2, "https://10.0.0.2:2379"),
            listed(0, "https://10.0.0.3:2379"),
        ];
        assert_eq!(found(&[status(1)], &three), ["https://10.0.0.2:2379", "https://10.0.0.3:2379"]);
        assert_eq!(found(&[status(1), status(2), None], &three), [""; 0]);
    }

    #[test]
    fn a_pod_that_did_not_answer_stands_for_one_that_is_listed() {
        let named = [listed(1, "https://a:2379"), listed(2, "https://b:2379"), listed(3, "https://c:2379")];
        assert_eq!(found(&[status(1), None], &named), ["https://c:2379"]);
        assert_eq!(found(&[status(1), None, None], &named), [""; 0]);
    }

    #[test]
    fn several_urls_of_one_member_are_one_member() {
        let twice =
            [listed(1, "https://a:2379"), listed(1, "https://10.0.0.1:2379"), listed(0, "https://10.0.0.1:2379")];
        assert_eq!(found(&[status(1)], &twice), [""; 0]);
        assert_eq!(found(&[status(9)], &twice[..2]), ["https://a:2379"]);
    }
}
