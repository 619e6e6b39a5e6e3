//! One member with everything that a run knows about it.

use super::certificate_expiry::Expiry;
use super::credentials::pod_paths::Credentials;
use super::member::Member;
use super::member_status::MemberStatus;

/// The result of the status request to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberProbe {
    Ok(MemberStatus),
    /// The member does not answer, or its pod is not ready; the reason.
    Down(String),
    /// The member could not be asked; the reason.
    Unknown(String),
}

impl MemberProbe {
    pub fn status(&self) -> Option<&MemberStatus> {
        match self {
            MemberProbe::Ok(status) => Some(status),
            MemberProbe::Down(_) | MemberProbe::Unknown(_) => None,
        }
    }

    /// Returns why there is no status.
    pub fn reason(&self) -> Option<&str> {
        match self {
            MemberProbe::Ok(_) => None,
            MemberProbe::Down(reason) | MemberProbe::Unknown(reason) => Some(reason),
        }
    }
}

/// A member with its status and its credentials.
#[derive(Debug)]
pub struct MemberState {
    pub member: Member,
    pub probe: MemberProbe,
    /// The client certificates that etcd may accept, best first.
    pub credentials: Vec<Credentials>,
    /// When the server certificate expires; `None` unless the member was asked.
    pub certificate_expiry: Option<Expiry>,
}

impl MemberState {
    pub fn status(&self) -> Option<&MemberStatus> {
        self.probe.status()
    }

    /// Returns the revision at the time of the status, if the member has one.
    pub fn revision(&self) -> Option<i64> {
        i64::try_from(self.status()?.revision).ok().filter(|revision| *revision > 0)
    }
}

/// Something about the members that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberWarning {
    pub message: String,
    /// The reason in the message. It is not shown again for a single member.
    pub reason: Option<String>,
}

/// Reports whether etcd has a quorum; `None` if no member answered. A member knows a leader only while there is a quorum,
/// because etcd checks that once in an election timeout.
pub fn has_quorum<'p>(probes: impl IntoIterator<Item = &'p MemberProbe>) -> Option<bool> {
    let mut answered = probes.into_iter().filter_map(MemberProbe::status).peekable();
    answered.peek()?;
    Some(answered.any(|status| status.has_leader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_with_a_leader_is_enough_to_know_of_a_quorum() {
        let probe = |has_leader| MemberProbe::Ok(MemberStatus { has_leader, ..MemberStatus::default() });
        let unknown = || MemberProbe::Unknown("forbidden".to_owned());
        assert_eq!(has_quorum(&[unknown(), unknown()]), None);
        assert_eq!(has_quorum(&[unknown(), probe(false)]), Some(false));
        assert_eq!(has_quorum(&[probe(false), probe(true)]), Some(true));
    }
}
