//! The level members: whether the file holds the data of the members.
//!
//! The members are asked after the copy, at the file's own revision. During a slow copy they are also asked at a
//! revision from before it, because etcd compacts old revisions and can then not hash them. Each reply is compared with
//! the hash of the file at the same revision and the same compaction. Only two different hashes are a difference. A
//! hash that could not be computed or asked for is reported and counts for neither side.

use std::collections::BTreeMap;

use crate::etcd::hash_kv::{HashKv, HashResult};

/// The hash of the file at a revision and a compaction, or the reason why there is none.
pub type FileHashes = BTreeMap<(i64, i64), Result<u32, String>>;

/// The replies of all members to one query, in the order of the members.
#[derive(Debug, Clone)]
pub struct HashRound {
    pub replies: Vec<HashResult>,
}

impl HashRound {
    /// Returns the revisions and compactions of the replies; the file must be hashed at the same points.
    pub fn hash_points(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.replies.iter().flatten().map(|hash| (hash.revision, hash.compacted))
    }

    /// Returns the hash of a member, by its index, at this revision.
    pub fn hash_of_member(&self, member: usize, revision: i64) -> Option<HashKv> {
        let hash = self.replies.get(member)?.as_ref().ok()?;
        (hash.revision == revision).then_some(*hash)
    }
}

/// One member, compared with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberResult {
    /// The same hash at this revision.
    Agrees(i64),
    /// Another hash.
    Differs(HashKv),
    /// No comparison. The reason is printed after the member's name.
    Unavailable(String),
}

/// A member as it is named and counted.
#[derive(Debug, Clone)]
pub struct VotingMember {
    pub name: String,
    /// A learner has no vote and is not counted.
    pub votes: bool,
}

/// The conclusion from all members.
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
    members: Vec<(VotingMember, MemberResult)>,
}

impl Comparison {
    /// Compares each member with the file. A member that differs in one round differs. Of several agreements the latest
    /// revision counts.
    pub fn new(voters: Vec<VotingMember>, rounds: &[HashRound], file: &FileHashes) -> Self {
        let members = voters.into_iter().enumerate().map(|(index, voter)| {
            let replies = rounds.iter().filter_map(|round| round.replies.get(index));
            let result = replies.map(|reply| compare_reply(reply, file)).reduce(merge_rounds);
            (voter, result.unwrap_or_else(|| MemberResult::Unavailable("was not asked".to_owned())))
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

    /// Returns the number of members that have a vote.
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|(voter, _)| voter.votes).count()
    }

    fn agreeing(&self) -> usize {
        self.members.iter().filter(|(voter, result)| voter.votes && matches!(result, MemberResult::Agrees(_))).count()
    }

    /// Returns the names of the members that differ from the file and equal each other, if they are the majority.
    pub fn opposing_majority(&self) -> Option<Vec<&str>> {
        let differing = || {
            self.members.iter().filter_map(|(voter, result)| match result {
                MemberResult::Differs(hash) if voter.votes => Some((voter.name.as_str(), *hash)),
                _ => None,
            })
        };
        let group = |hash: HashKv| -> Vec<&str> {
            differing().filter(|(_, other)| *other == hash).map(|(name, _)| name).collect()
        };
        differing().map(|(_, hash)| group(hash)).find(|group| group.len() * 2 > self.voters())
    }

    /// Returns the names of the members that differ, each with the revision.
    pub fn differing(&self) -> impl Iterator<Item = (&str, i64)> {
        self.members.iter().filter_map(|(voter, result)| match result {
            MemberResult::Differs(hash) => Some((voter.name.as_str(), hash.revision)),
            _ => None,
        })
    }

    /// Returns the result in one line, as printed after "members: ".
    pub fn summary(&self) -> String {
        let agreed = self.members.iter().filter_map(|(_, result)| match result {
            MemberResult::Agrees(revision) => Some(*revision),
            _ => None,
        });
        let mut parts = Vec::new();
        // All members that agree were compared at this revision or at a later one.
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
        let unavailable = self.members.iter().filter_map(|(voter, result)| match result {
            MemberResult::Unavailable(reason) if voter.votes => Some((voter.name.as_str(), reason.as_str())),
            _ => None,
        });
        parts.extend(unavailable.map(|(name, reason)| format!("{name} {reason}")));
        parts.join("; ")
    }
}

fn compare_reply(reply: &HashResult, file: &FileHashes) -> MemberResult {
    let HashKv { revision, compacted, hash } = match reply {
        Ok(hash) => *hash,
        Err(reason) => return MemberResult::Unavailable(reason.clone()),
    };
    match file.get(&(revision, compacted)) {
        Some(Ok(own)) if *own == hash => MemberResult::Agrees(revision),
        Some(Ok(_)) => MemberResult::Differs(HashKv { revision, compacted, hash }),
        Some(Err(reason)) => MemberResult::Unavailable(format!("answered for revision {revision}, but {reason}")),
        None => {
            MemberResult::Unavailable(format!("answered for revision {revision}, at which the file was not hashed"))
        }
    }
}

/// Merges the results of two rounds for one member; `second` is the later round.
fn merge_rounds(first: MemberResult, second: MemberResult) -> MemberResult {
    match (first, second) {
        (differs @ MemberResult::Differs(_), _) | (_, differs @ MemberResult::Differs(_)) => differs,
        (MemberResult::Agrees(first), MemberResult::Agrees(second)) => MemberResult::Agrees(first.max(second)),
        (agrees @ MemberResult::Agrees(_), _) => agrees,
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

    fn unavailable(reason: &str) -> HashResult {
        Err(reason.to_owned())
    }

    /// Compares with a file whose hash is [`OURS`] at revision 9 compacted to 4, and at nothing else.
    fn compared(replies: &[HashResult]) -> Comparison {
        let file = FileHashes::from([((9, 4), Ok(OURS)), ((8, 0), Err("the file is compacted further".to_owned()))]);
        Comparison::new(voters(replies.len()), &[HashRound { replies: replies.to_vec() }], &file)
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
        let two = compared(&[hash(OURS), unavailable("did not answer"), hash(OURS)]);
        assert_eq!(two.verdict(), Verdict::Verified);
        assert_eq!(two.summary(), "2 of 3 agree at revision 9; cp2 did not answer");
        let one = compared(&[hash(OURS), unavailable("did not answer"), unavailable("has the alarm NOSPACE")]);
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
        assert_eq!(compared(&[hash(OURS), hash(6), unavailable("did not answer")]).verdict(), Verdict::FileDiffers);
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
        let comparison = compared(&[old, unavailable("has compacted revision 9 already")]);
        assert_eq!(comparison.verdict(), Verdict::NotComparable);
        assert!(comparison.summary().contains("the file is compacted further"), "{}", comparison.summary());
        assert!(comparison.summary().starts_with("not comparable; cp1"), "{}", comparison.summary());
    }

    #[test]
    fn the_first_round_counts_where_the_second_was_too_late() {
        let file = FileHashes::from([((9, 4), Ok(OURS)), ((12, 4), Ok(7))]);
        let round = |replies: &[HashResult]| HashRound { replies: replies.to_vec() };
        let late = |hash| Ok(HashKv { revision: 12, compacted: 4, hash });
        let both = Comparison::new(
            voters(2),
            &[round(&[hash(OURS), hash(OURS)]), round(&[late(7), unavailable("has compacted it already")])],
            &file,
        );
        assert_eq!(both.verdict(), Verdict::Verified);
        // Both agreed at 9, only one at 12.
        assert_eq!(both.summary(), "2 of 2 agree at revision 9");
        let differs = Comparison::new(voters(1), &[round(&[hash(OURS)]), round(&[late(8)])], &file);
        assert_eq!(differs.verdict(), Verdict::FileDiffers);
        let differed = Comparison::new(voters(1), &[round(&[hash(6)]), round(&[late(7)])], &file);
        assert_eq!(differed.verdict(), Verdict::FileDiffers);
    }

    #[test]
    fn learners_are_not_counted() {
        let mut voters = voters(2);
        voters[1].votes = false;
        let file = FileHashes::from([((9, 4), Ok(OURS))]);
        let round = HashRound { replies: vec![hash(OURS), unavailable("is a learner")] };
        let comparison = Comparison::new(voters, &[round], &file);
        assert_eq!(comparison.verdict(), Verdict::Verified);
        assert_eq!(comparison.summary(), "1 of 1 agree at revision 9");
    }
}
