//! Members that etcd lists and that have no pod. They count for a majority, and nothing else would show them.

use super::client::ListedMember;
use super::member::Member;
use super::member_status::MemberStatus;

/// A member, or one of its URLs, in etcd's member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberListEntry {
    /// The ID; `None` if only a URL that does not answer is known.
    pub id: Option<u64>,
    /// Client URLs.
    pub urls: Vec<String>,
    pub learner: bool,
}

impl MemberListEntry {
    /// Creates the entry of a URL that does not answer.
    pub fn from_url(url: String) -> Self {
        MemberListEntry { id: None, urls: vec![url], learner: false }
    }
}

impl From<ListedMember> for MemberListEntry {
    fn from(member: ListedMember) -> Self {
        MemberListEntry { id: Some(member.id), urls: member.client_urls, learner: member.is_learner }
    }
}

/// A member without a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedMember {
    /// A client URL; empty for a member that has not started.
    pub endpoint: String,
    /// The member was asked and did not answer.
    pub silent: bool,
    /// The member is not known to be a learner.
    pub votes: bool,
}

/// Returns those of the `listed` members that have no pod among `members`. A pod whose member did not answer accounts for
/// one listed member: the one with its address, else any.
pub fn find_unmatched(
    members: &[(&Member, Option<&MemberStatus>)],
    listed: &[MemberListEntry],
) -> Vec<UnmatchedMember> {
    let known = |id: u64| members.iter().any(|(_, status)| status.is_some_and(|status| status.id == id));
    let mut unanswered: Vec<&Member> =
        members.iter().filter(|(_, status)| status.is_none()).map(|(member, _)| *member).collect();
    let mut seen_ids = Vec::new();
    let mut found = Vec::new();
    for entry in listed {
        match entry.id {
            Some(id) if known(id) || seen_ids.contains(&id) => continue,
            Some(id) => seen_ids.push(id),
            // Another URL of a member that answered.
            None if members.iter().any(|(member, status)| status.is_some() && advertises(member, entry)) => continue,
            None => {}
        }
        let position = |matches: fn(&Member, &str) -> bool| {
            unanswered.iter().position(|member| entry.urls.iter().any(|url| matches(member, url)))
        };
        match position(Member::advertises).or_else(|| position(Member::answers_at)) {
            Some(index) => drop(unanswered.remove(index)),
            None => found.push(UnmatchedMember {
                endpoint: entry.urls.first().cloned().unwrap_or_default(),
                silent: entry.id.is_none(),
                votes: !entry.learner,
            }),
        }
    }
    found.split_off(unanswered.len().min(found.len()))
}

fn advertises(member: &Member, entry: &MemberListEntry) -> bool {
    entry.urls.iter().any(|url| member.advertises(url))
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

    /// The endpoints without a pod, if members 1, 2 and so on have pods and these statuses.
    fn unmatched(statuses: &[Option<MemberStatus>], listed: &[MemberListEntry]) -> Vec<String> {
        let members: Vec<Member> = (1..=statuses.len() as u8).map(member).collect();
        let asked: Vec<_> = members.iter().zip(statuses).map(|(member, status)| (member, status.as_ref())).collect();
        find_unmatched(&asked, listed).into_iter().map(|member| member.endpoint).collect()
    }

    #[test]
    fn members_without_a_pod_are_found_whether_they_answer_or_not() {
        let three = [
            listed(1, "https://10.0.0.1:2379"),
            listed(2, "https://10.0.0.2:2379"),
            listed(0, "https://10.0.0.3:2379"),
        ];
        assert_eq!(unmatched(&[status(1)], &three), ["https://10.0.0.2:2379", "https://10.0.0.3:2379"]);
        assert_eq!(unmatched(&[status(1), status(2), None], &three), [""; 0]);
    }

    #[test]
    fn a_pod_that_did_not_answer_accounts_for_a_listed_member() {
        let named = [listed(1, "https://a:2379"), listed(2, "https://b:2379"), listed(3, "https://c:2379")];
        assert_eq!(unmatched(&[status(1), None], &named), ["https://c:2379"]);
        assert_eq!(unmatched(&[status(1), None, None], &named), [""; 0]);
    }

    #[test]
    fn several_urls_of_one_member_are_one_member() {
        let twice =
            [listed(1, "https://a:2379"), listed(1, "https://10.0.0.1:2379"), listed(0, "https://10.0.0.1:2379")];
        assert_eq!(unmatched(&[status(1)], &twice), [""; 0]);
        assert_eq!(unmatched(&[status(9)], &twice[..2]), ["https://a:2379"]);
    }
}
