//! The level members on a file that was just copied, or that was copied long ago: asks the members, hashes the file,
//! compares.

use std::fs::File;

use super::comparison::{Comparison, FileHashes, HashRound, Verdict};
use super::file_thread::run_on_file;
use super::hash_query::HashQuery;
use crate::error::{Error, Result};
use crate::util::events::Events;
use crate::util::progress::NoProgress;
use etcd_snapshot::{Contents, FileHash, HashPoint};

/// The result of the level members.
#[derive(Debug)]
pub enum MemberCheck {
    NotChecked,
    Compared(Comparison),
}

impl MemberCheck {
    /// Returns the result as documents and tables name it.
    pub fn label(&self) -> &'static str {
        match self.verdict() {
            None => "not checked",
            Some(Verdict::Verified) => "verified",
            Some(Verdict::MemberDiffers) => "member differs",
            Some(Verdict::FileDiffers) => "differs",
            Some(Verdict::NotComparable) => "not comparable",
        }
    }

    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            MemberCheck::NotChecked => None,
            MemberCheck::Compared(comparison) => Some(comparison.verdict()),
        }
    }
}

/// Compares a sound file with the members. `early`: the members' replies during the copy.
///
/// # Errors
/// The file cannot be read.
pub async fn compare_with_members(
    query: HashQuery<'_>,
    file: &File,
    contents: Box<Contents>,
    early: Option<HashRound>,
    events: &dyn Events,
) -> Result<(Box<Contents>, MemberCheck)> {
    let revision = contents.revision;
    events.status(&format!("Comparing the snapshot with the members at revision {revision}"));
    let late = query.query_members(revision, early.as_ref()).await;
    let rounds: Vec<HashRound> = early.into_iter().chain([late]).collect();
    let (contents, file_hashes) = hash_file(file, contents, &rounds).await?;
    Ok((contents, MemberCheck::Compared(Comparison::new(query.voting_members(), &rounds, &file_hashes))))
}

/// Computes the file's hash at each point for which a member gave one.
async fn hash_file(file: &File, contents: Box<Contents>, rounds: &[HashRound]) -> Result<(Box<Contents>, FileHashes)> {
    let mut points: Vec<(i64, i64)> = rounds.iter().flat_map(HashRound::hash_points).collect();
    points.sort_unstable();
    points.dedup();
    if points.is_empty() {
        return Ok((contents, FileHashes::new()));
    }
    let hash_points: Vec<HashPoint> =
        points.iter().map(|&(revision, compact_revision)| HashPoint { revision, compact_revision }).collect();
    let (contents, hashes) = run_on_file(file, Box::new(NoProgress), move |file, watch| {
        let hashes = etcd_snapshot::hash_kv(file, &contents, &hash_points, watch);
        (contents, hashes)
    })
    .await?;
    let hashes = hashes.map_err(|failure| Error::failed(format!("cannot read the snapshot: {failure}")))?;
    let hashes = hashes.into_iter().map(|hash| match hash {
        FileHash::Hash(hash) => Ok(hash),
        FileHash::NotComparable(reason) => Err(reason.to_string()),
    });
    Ok((contents, points.into_iter().zip(hashes).collect()))
}
