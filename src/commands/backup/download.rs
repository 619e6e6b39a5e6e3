//! A snapshot on its way home and its proof: what must happen in which order, and what may happen meanwhile.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use tokio::sync::Notify;

use crate::cli::{Cli, Level};
use crate::commands::members::select::MemberSet;
use crate::error::{Error, Result};
use crate::k8s::KubeClient;
use crate::snapshot::{Checksum, NotTaken, RemoteResources, SnapshotWriter, Taken, take};
use crate::ui::Ui;
use crate::verification::comparison::HashRound;
use crate::verification::hash_query::HashQuery;
use crate::verification::integrity;
use crate::verification::integrity::{IntegrityResult, MemberCheck};

/// How long the writer may take to end when there is nothing left to write.
const WRITER: Duration = Duration::from_secs(2);

/// A snapshot all bytes of which arrived, and what was found out about it.
pub(super) struct Downloaded {
    pub(super) taken: Taken,
    pub(super) sum: Checksum,
    pub(super) structure: IntegrityResult,
    pub(super) content: MemberCheck,
}

/// Why no snapshot arrived.
pub(super) struct DownloadError {
    pub(super) error: Error,
    /// Bytes had come, so that another member cannot take over.
    pub(super) begun: bool,
}

impl From<Error> for DownloadError {
    fn from(error: Error) -> Self {
        DownloadError { error, begun: true }
    }
}

/// One snapshot of one member.
pub(super) struct Download<'a> {
    pub(super) cli: &'a Cli,
    pub(super) cluster: &'a KubeClient,
    pub(super) ui: &'a Ui,
    pub(super) owned: &'a RemoteResources,
    pub(super) field: &'a MemberSet,
    pub(super) member: usize,
    /// How far to prove it; `None`: as far as can be.
    pub(super) wanted: Option<Level>,
}

impl Download<'_> {
    /// Brings the bytes to `writer`, which errors call `name`, and proves them. `file` is what was written; without it
    /// only the transport can be proven.
    pub(super) async fn bring<W: Write + Send + 'static>(
        &self,
        writer: W,
        name: &str,
        file: Option<&File>,
    ) -> Result<Downloaded, DownloadError> {
        let file = file.filter(|_| self.goes_to(Level::Structure));
        let asking = HashQuery::new(self.cli, &self.cli.backup.content, self.cluster, self.field, self.ui);
        let writer = SnapshotWriter::start(writer, name.to_owned());
        let (begun, arrived) = (writer.begun(), Notify::new());
        let meanwhile = async {
            let round = match file {
                Some(_) if self.goes_to(Level::Members) => {
                    asking.while_copying(begun, &arrived, self.cli.backup.content_after, self.member).await
                }
                _ => None,
            };
            Ok::<_, DownloadError>(round)
        };
        let home = async {
            let (taken, sum) = self.copy(writer).await?;
            arrived.notify_one();
            // All bytes are here: nothing is needed from the cluster any more, and nobody waits for its removal.
            let removal = async {
                if let Err(error) = self.owned.remove(self.cluster).await {
                    self.ui.warn_always(&error);
                }
            };
            let structure = async {
                match file {
                    Some(file) => integrity::structure(file, sum.size, asking.revision_of(self.member), self.ui).await,
                    None => Ok(IntegrityResult::NotChecked),
                }
            };
            let ((), structure) = tokio::join!(removal, structure);
            Ok((taken, sum, structure?))
        };
        let ((taken, sum, structure), early) = tokio::try_join!(home, meanwhile)?;
        let (structure, content) = self.compare(asking, file, structure, early).await?;
        Ok(Downloaded { taken, sum, structure, content })
    }

    fn goes_to(&self, level: Level) -> bool {
        self.wanted.is_none_or(|wanted| wanted >= level)
    }

    async fn copy<W: Write + Send + 'static>(
        &self,
        writer: SnapshotWriter<W>,
    ) -> Result<(Taken, Checksum), DownloadError> {
        let request = self.field.request(self.cli, self.member);
        let taken = take(self.cluster, &request, &writer, self.owned, self.ui).await;
        let begun = !writer.is_untouched();
        let taken = match taken {
            Err(NotTaken::Failed(error)) => {
                // A reader of standard output that takes nothing must not hold up the end.
                let _ = tokio::time::timeout(WRITER, writer.finish()).await;
                return Err(DownloadError { error, begun });
            }
            taken => taken,
        };
        // A failure to write here is the cause of a copy that broke off, so it is told first.
        let (taken, sum) = match (taken, writer.finish().await) {
            (Ok(taken), Ok((_, sum))) => (taken, sum),
            (_, Err(write)) => return Err(write.into()),
            (Err(_), Ok(_)) => return Err(Error::failed("the snapshot could not be written").into()),
        };
        taken.warnings.iter().for_each(|warning| self.ui.warn(warning));
        Ok((taken, sum))
    }

    async fn compare(
        &self,
        asking: HashQuery<'_>,
        file: Option<&File>,
        structure: IntegrityResult,
        early: Option<HashRound>,
    ) -> Result<(IntegrityResult, MemberCheck)> {
        match (structure, file) {
            (IntegrityResult::Sound(contents), Some(file)) if self.goes_to(Level::Members) => {
                let (contents, content) = integrity::content(asking, file, contents, early, self.ui).await?;
                Ok((IntegrityResult::Sound(contents), content))
            }
            (structure, _) => Ok((structure, MemberCheck::NotChecked)),
        }
    }
}
