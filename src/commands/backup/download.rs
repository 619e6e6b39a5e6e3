//! Downloads a snapshot and verifies it. Job removal, the structure check and the hash queries run concurrently.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use tokio::sync::Notify;

use super::request::snapshot_request;
use crate::cli::BackupOptions;
use crate::commands::context::Context;
use crate::error::{Error, Result};
use crate::etcd::{MemberSet, MemberState};
use crate::snapshot::{RemoteResources, SnapshotWriter, Taken, TransportError, VerifiedCopy, take_snapshot};
use crate::ui::Ui;
use crate::util::events::Events;
use crate::verification::Level;
use crate::verification::comparison::HashRound;
use crate::verification::hash_query::HashQuery;
use crate::verification::member_check::{MemberCheck, compare_with_members};
use crate::verification::structure::{StructureCheck, check_structure};

/// Time limit for the writer after a copy that failed.
const WRITER_LIMIT: Duration = Duration::from_secs(2);

/// A snapshot of which every byte arrived, and the results of its verification.
pub(super) struct Downloaded {
    pub taken: Taken,
    pub checksum: VerifiedCopy,
    pub structure_check: StructureCheck,
    pub member_check: MemberCheck,
}

/// Why no snapshot arrived.
pub(super) struct DownloadError {
    pub error: Error,
    /// Some bytes had arrived, so another member cannot take over.
    pub begun: bool,
}

impl From<Error> for DownloadError {
    fn from(error: Error) -> Self {
        DownloadError { error, begun: true }
    }
}

/// The download of one snapshot.
pub(super) struct Download<'a> {
    pub options: &'a BackupOptions,
    pub context: &'a Context,
    pub ui: &'a Ui,
    pub remote: &'a RemoteResources,
    pub members: &'a MemberSet,
    pub member: &'a MemberState,
    /// The level to verify; `None`: as much as possible.
    pub wanted: Option<Level>,
}

impl Download<'_> {
    /// Copies the snapshot to `writer` and verifies it. `name` is its name in errors. `file` is the written file;
    /// without it only the checksum can be verified.
    pub(super) async fn run<W: Write + Send + 'static>(
        &self,
        writer: W,
        name: &str,
        file: Option<&File>,
    ) -> Result<Downloaded, DownloadError> {
        let file = file.filter(|_| self.includes(Level::Structure));
        let query = HashQuery {
            client: &self.context.client,
            members: self.members,
            options: &self.context.etcd,
            limits: self.options.hash_limits,
        };
        let writer = SnapshotWriter::start(writer, name.to_owned());
        let (begun, arrived) = (writer.begun(), Notify::new());
        let early_hashes = async {
            let round = match file {
                Some(_) if self.includes(Level::Members) => {
                    query.query_during_copy(begun, &arrived, self.options.hash_after, self.member).await
                }
                _ => None,
            };
            Ok::<_, DownloadError>(round)
        };
        let copy_and_check = async {
            let (taken, checksum) = self.copy(writer).await?;
            arrived.notify_one();
            // Every byte arrived, so the job is not needed any more. The check does not wait for its deletion.
            let removal = async {
                if let Err(error) = self.remote.remove(&self.context.client).await {
                    self.ui.warn_always(&error);
                }
            };
            let check = async {
                match file {
                    Some(file) => {
                        let checked = check_structure(file, checksum.size, self.member.revision(), self.ui).await;
                        checked.unwrap_or_else(|error| unreadable(&error))
                    }
                    None => StructureCheck::NotChecked,
                }
            };
            let ((), structure_check) = tokio::join!(removal, check);
            Ok((taken, checksum, structure_check))
        };
        let ((taken, checksum, structure_check), early) = tokio::try_join!(copy_and_check, early_hashes)?;
        let (structure_check, member_check) = self.compare(query, file, structure_check, early).await;
        Ok(Downloaded { taken, checksum, structure_check, member_check })
    }

    /// Reports whether this level must be verified.
    fn includes(&self, level: Level) -> bool {
        self.wanted.is_none_or(|wanted| wanted >= level)
    }

    async fn copy(&self, writer: SnapshotWriter) -> Result<(Taken, VerifiedCopy), DownloadError> {
        let request = snapshot_request(self.options, self.context, self.members, self.member);
        let taken = take_snapshot(&self.context.client, &request, &writer, self.remote, self.ui).await;
        let begun = !writer.is_untouched();
        let taken = match taken {
            Err(TransportError::Unavailable(error) | TransportError::Failed(error)) => {
                // Standard output may be a pipe whose reader does not read.
                let _ = tokio::time::timeout(WRITER_LIMIT, writer.finish()).await;
                return Err(DownloadError { error, begun });
            }
            taken => taken,
        };
        // An error of the writer also breaks the copy, so it is the cause.
        let (taken, checksum) = match (taken, writer.finish().await) {
            (Ok(taken), Ok(checksum)) => (taken, checksum),
            (_, Err(write)) => return Err(write.into()),
            (Err(error), Ok(_)) => return Err(error.into_error().into()),
        };
        taken.warnings.iter().for_each(|warning| self.ui.warn(warning));
        Ok((taken, checksum))
    }

    async fn compare(
        &self,
        query: HashQuery<'_>,
        file: Option<&File>,
        structure_check: StructureCheck,
        early: Option<HashRound>,
    ) -> (StructureCheck, MemberCheck) {
        match (structure_check, file) {
            (StructureCheck::Sound(contents), Some(file)) if self.includes(Level::Members) => {
                match compare_with_members(query, file, contents, early, self.ui).await {
                    Ok((contents, member_check)) => (StructureCheck::Sound(contents), member_check),
                    Err(error) => (unreadable(&error), MemberCheck::NotChecked),
                }
            }
            (structure_check, _) => (structure_check, MemberCheck::NotChecked),
        }
    }
}

/// The checksum has matched already, so a check that fails keeps the file: it may be the only copy.
fn unreadable(error: &Error) -> StructureCheck {
    StructureCheck::Unreadable(error.message().to_owned())
}
