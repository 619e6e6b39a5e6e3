//! Level 3: whether the file holds what the members hold.
//!
//! The members are asked when the file is here, at the file's own revision; while a slow copy runs also at a revision
//! that was current before it, because etcd forgets old revisions, and has then nothing to compare. Each answer is
//! compared with the hash that the file gives at the same revision and the same compaction. Only a difference of two
//! hashes is a difference; whatever could not be computed or asked for is said and proves nothing.

use std::collections::BTreeMap;

use crate::etcd::hash_kv::{HashKv, HashResult};

/// The hash that the file gives at a revision and a compaction, or why it gives none.
pub type FileHashes = BTreeMap<(i64, i64), Result<u32, String>>;

/// The replies to one question, one for each member.
#[derive(Debug, Clone)]
pub struct HashRound {
    pub replies: Vec<HashResult>,
}

impl HashRound {
    /// What the file must be asked for.
    pub fn points(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.replies.iter().flatten().map(|hash| (hash.revision, hash.compacted))
    }

    /// What this member said for this revision.
    pub fn answer(&self, member: usize, revision: i64) -> Option<HashKv> {
        let answer = self.replies.get(member)?.as_ref().ok()?;
        (answer.revision == revision).then_some(*answer)
    }
}

/// One member, compared with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Same hash at this revision.
    Agrees(i64),
    /// Another hash.
    Differs(HashKv),
    /// No comparison; the reason, in words that follow the member's name.
    Unavailable(String),
}

/// A member as it is named and counted.
#[derive(Debug, Clone)]
pub struct VotingMember {
    pub name: String,
    /// A learner has no vote, and is not counted.
    pub votes: bool,
}

/// What the comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The file equals most of the members, and none differs.
    Verified,
    /// The file equals most of the members; others differ.
    MemberDiffers,
    /// Members differ from the file, and those that equal it are no majority.
    FileDiffers,
    /// No member differs, and too few could be compared.
    NotComparable,
}

/// The members, compared with the file.
#[derive(Debug, Clone)]
pub struct Comparison {
    members: Vec<(VotingMember, Compared)>,
}

impl Comparison {
    /// Compares. A member that differs in one round differs; of several agreements the latest revision counts.
    pub fn of(voters: Vec<VotingMember>, rounds: &[HashRound], file: &FileHashes) -> Self {
        let members = voters.into_iter().enumerate().map(|(index, voter)| {
            let replies = rounds.iter().filter_map(|round| round.replies.get(index));
            let compared = replies.map(|reply| compare(reply, file)).reduce(later);
            (voter, compared.unwrap_or_else(|| Compared::Unavailable("was not asked".to_owned())))
        });
        Comparison { members: members.collect() }
    }

    pub fn verdict(&self) -> Verdict {
        let most = self.agreeing() * 2 > self.voters();
        match (self.differing().next().is_some(), most) {
            (false, true) => Verdict::Verified,
            (true, true) => Verdict::MemberDiffers,
            (true, false) => Verdict::FileDiffers,
            (false, false) => Verdict::NotComparable,
        }
    }

    /// How many members have a vote.
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|(voter, _)| voter.votes).count()
    }

    fn agreeing(&self) -> usize {
        self.members.iter().filter(|(voter, compared)| voter.votes && matches!(compared, Compared::Agrees(_))).count()
    }

    /// Names of the members that differ from the file and equal each other, if they are most of all.
    pub fn opposing_majority(&self) -> Option<Vec<&str>> {
        let differing = || {
            self.members.iter().filter_map(|(voter, compared)| match compared {
                Compared::Differs(hash) if voter.votes => Some((voter.name.as_str(), *hash)),
                _ => None,
            })
        };
        let group = |hash: HashKv| -> Vec<&str> {
            differing().filter(|(_, other)| *other == hash).map(|(name, _)| name).collect()
        };
        differing().map(|(_, hash)| group(hash)).find(|group| group.len() * 2 > self.voters())
    }

    /// Names of the members that differ, and the revision at which they do.
    pub fn differing(&self) -> impl Iterator<Item = (&str, i64)> {
        self.members.iter().filter_map(|(voter, compared)| match compared {
            Compared::Differs(hash) => Some((voter.name.as_str(), hash.revision)),
            _ => None,
        })
    }

    /// Returns the result in one line, as printed after "members: ".
    pub fn summary(&self) -> String {
        let agreed = self.members.iter().filter_map(|(_, compared)| match compared {
            Compared::Agrees(revision) => Some(*revision),
            _ => None,
        });
        let mut parts = Vec::new();
        // The revision that all of those that agree were seen at.
        match agreed.min() {
            Some(revision) => {
                parts.push(format!("{} of {} agree at revision {revision}", self.agreeing(), self.voters()));
            }
            None if self.verdict() == Verdict::NotComparable => parts.push("not comparable".to_owned()),
            None => parts.push(format!("0 of {} agree", self.voters())),
        }
        for (name, revision) in self.differing() {
            parts.push(format!("{name} differs at revision {revision}"));
        }
        let silent = self.members.iter().filter_map(|(voter, compared)| match compared {
            Compared::Unavailable(reason) if voter.votes => Some((voter.name.as_str(), reason.as_str())),
            _ => None,
        });
        parts.extend(silent.map(|(name, reason)| format!("{name} {reason}")));
        parts.join("; ")
    }
}

fn compare(reply: &HashResult, file: &FileHashes) -> Compared {
    let HashKv { revision, compacted, hash } = match reply {
        Ok(hash) => *hash,
        Err(reason) => return Compared::Unavailable(reason.clone()),
    };
    match file.get(&(revision, compacted)) {
        Some(Ok(own)) if *own == hash => Compared::Agrees(revision),
        Some(Ok(_)) => Compared::Differs(HashKv { revision, compacted, hash }),
        Some(Err(reason)) => Compared::Unavailable(format!("answered for revision {revision}, but {reason}")),
        None => Compared::Unavailable(format!("answered for revision {revision}, which was not looked at")),
    }
}

/// What two rounds say of one member; `second` is the later one.
fn later(first: Compared, second: Compared) -> Compared {
    match (first, second) {
        (differs @ Compared::Differs(_), _) | (_, differs @ Compared::Differs(_)) => differs,
        (Compared::Agrees(first), Compared::Agrees(second)) => Compared::Agrees(first.max(second)),
        (agrees @ Compared::Agrees(_), _) => agrees,
        (_, second) => second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u32 = 5;

    fn voters(count: usize) -> Vec<VotingMember> {
        (1..=count).map(|n| VotingMember { name: format!("cp{n}"), votes: true }).collect()
    }

    fn hash(hash: u32) -> HashResult {
        Ok(HashKv { revision: 9, compacted: 4, hash })
    }

    fn silent(reason: &str) -> HashResult {
        Err(reason.to_owned())
    }

    /// Compares with a file whose hash is [`OURS`] at revision 9 compacted to 4, and at nothing else.
    fn compared(replies: &[HashResult]) -> Comparison {
        let file = FileHashes::from([((9, 4), Ok(OURS)), ((8, 0), Err("the file is compacted further".to_owned()))]);
        Comparison::of(voters(replies.len()), &[HashRound { replies: replies.to_vec() }], &file)
    }

    #[test]
    fn all_agree() {
        let comparison = compared(&[hash(OURS), hash(OURS), hash(OURS)]);
        assert_eq!(comparison.verdict(), Verdict::Verified);
        assert_eq!(comparison.summary(), "3 of 3 agree at revision 9");
        assert_eq!(compared(&[hash(OURS)]).summary(), "1 of 1 agree at revision 9");
    }

    #[test]
    fn a_majority_is_one_of_all_members_not_of_those_that_answered() {
        let two = compared(&[hash(OURS), silent("did not answer"), hash(OURS)]);
        assert_eq!(two.verdict(), Verdict::Verified);
        assert_eq!(two.summary(), "2 of 3 agree at revision 9; cp2 did not answer");
        let one = compared(&[hash(OURS), silent("did not answer"), silent("has the alarm NOSPACE")]);
        assert_eq!(one.verdict(), Verdict::NotComparable);
        assert!(one.summary().starts_with("1 of 3 agree at revision 9; cp2 did not answer"));
    }

    #[test]
    fn one_member_that_differs_is_named() {
        let comparison = compared(&[hash(OURS), hash(OURS), hash(6)]);
        assert_eq!(comparison.verdict(), Verdict::MemberDiffers);
        assert_eq!(comparison.differing().collect::<Vec<_>>(), [("cp3", 9)]);
        assert_eq!(comparison.summary(), "2 of 3 agree at revision 9; cp3 differs at revision 9");
    }

    #[test]
    fn a_file_that_differs_from_the_majority_or_has_none_is_not_verified() {
        assert_eq!(compared(&[hash(6), hash(6), hash(OURS)]).verdict(), Verdict::FileDiffers);
        assert_eq!(compared(&[hash(6)]).verdict(), Verdict::FileDiffers);
        assert_eq!(compared(&[hash(OURS), hash(6)]).verdict(), Verdict::FileDiffers);
        assert_eq!(compared(&[hash(OURS), hash(6), silent("did not answer")]).verdict(), Verdict::FileDiffers);
        assert_eq!(compared(&[hash(6)]).summary(), "0 of 1 agree; cp1 differs at revision 9");
    }

    #[test]
    fn the_majority_against_a_file_is_one_that_agrees_with_itself() {
        let names = |replies: &[HashResult]| compared(replies).opposing_majority().map(|names| names.join(" "));
        assert_eq!(names(&[hash(6), hash(6), hash(OURS)]).as_deref(), Some("cp1 cp2"));
        assert_eq!(names(&[hash(OURS), hash(7), hash(6), hash(6), hash(6)]).as_deref(), Some("cp3 cp4 cp5"));
        assert_eq!(names(&[hash(6), hash(7), hash(OURS)]), None);
        assert_eq!(names(&[hash(6), hash(OURS)]), None);
    }

    #[test]
    fn what_cannot_be_computed_never_differs() {
        let old = Ok(HashKv { revision: 8, compacted: 0, hash: 1 });
        let comparison = compared(&[old, silent("has compacted revision 9 already")]);
        assert_eq!(comparison.verdict(), Verdict::NotComparable);
        assert!(comparison.summary().contains("the file is compacted further"), "{}", comparison.summary());
        assert!(comparison.summary().starts_with("not comparable; cp1"), "{}", comparison.summary());
    }

    #[test]
    fn the_first_round_counts_where_the_second_was_too_late() {
        let file = FileHashes::from([((9, 4), Ok(OURS)), ((12, 4), Ok(7))]);
        let round = |replies: &[HashResult]| HashRound { replies: replies.to_vec() };
        let late = |hash| Ok(HashKv { revision: 12, compacted: 4, hash });
        let both = Comparison::of(
            voters(2),
            &[round(&[hash(OURS), hash(OURS)]), round(&[late(7), silent("has compacted it already")])],
            &file,
        );
        assert_eq!(both.verdict(), Verdict::Verified);
        // Both were seen to agree at 9, only one at 12.
        assert_eq!(both.summary(), "2 of 2 agree at revision 9");
        let differs = Comparison::of(voters(1), &[round(&[hash(OURS)]), round(&[late(8)])], &file);
        assert_eq!(differs.verdict(), Verdict::FileDiffers);
        let differed = Comparison::of(voters(1), &[round(&[hash(6)]), round(&[late(7)])], &file);
        assert_eq!(differed.verdict(), Verdict::FileDiffers);
    }

    #[test]
    fn learners_are_not_counted() {
        let mut voters = voters(2);
        voters[1].votes = false;
        let file = FileHashes::from([((9, 4), Ok(OURS))]);
        let round = HashRound { replies: vec![hash(OURS), silent("is a learner")] };
        let comparison = Comparison::of(voters, &[round], &file);
        assert_eq!(comparison.verdict(), Verdict::Verified);
        assert_eq!(comparison.summary(), "1 of 1 agree at revision 9");
    }
}
