//! The file of a snapshot between its verification and its name.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::read_back::{ReadBack, read_back};
use crate::error::{Error, Result};
use crate::snapshot::VerifiedCopy;
use crate::storage::local_file::{PendingFile, SavedFile};
use crate::ui::Ui;
use crate::util::events::Events;

/// Keeps the file if the run ends before it has its name: a signal or a panic drops this.
pub(super) struct VerifiedFile<'r> {
    pending: Option<PendingFile>,
    /// Set to the path of a file that was kept in this way.
    kept: &'r OnceLock<PathBuf>,
    ui: &'r Ui,
}

impl<'r> VerifiedFile<'r> {
    pub(super) fn new(pending: PendingFile, kept: &'r OnceLock<PathBuf>, ui: &'r Ui) -> Self {
        VerifiedFile { pending: Some(pending), kept, ui }
    }

    /// Waits until the bytes are on disk.
    ///
    /// # Errors
    /// The disk or the file system failed; the file is kept under another name, which the message contains.
    pub(super) async fn sync(mut self) -> Result<Self> {
        let synced = match self.pending.as_ref().map(|pending| pending.file().try_clone()) {
            Some(Ok(file)) => match tokio::task::spawn_blocking(move || file.sync_all()).await {
                Ok(synced) => synced.map_err(|error| error.to_string()),
                Err(_) => Err("the writing thread panicked".to_owned()),
            },
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(()),
        };
        match synced {
            Err(why) => Err(self.take()?.persist_unsynced(&why)),
            Ok(()) => Ok(self),
        }
    }

    /// Reads the file again and compares it with the hash of the bytes that arrived.
    pub(super) async fn read_back(&self, checksum: &VerifiedCopy) -> ReadBack {
        let Some(pending) = &self.pending else { return ReadBack::NotDone };
        self.ui.status("Reading the file back from disk");
        let result = read_back(pending.file(), &checksum.sha256, self.ui.check_progress(checksum.size)).await;
        result.warning().iter().for_each(|warning| self.ui.warn(warning));
        result
    }

    /// Gives the file its name, or `TARGET.unverified`.
    ///
    /// # Errors
    /// It was renamed to another name, which the message contains.
    pub(super) fn persist(mut self, is_verified: bool) -> Result<SavedFile> {
        let pending = self.take()?;
        if is_verified { pending.persist() } else { Ok(pending.persist_unverified()) }
    }

    fn take(&mut self) -> Result<PendingFile> {
        self.pending.take().ok_or_else(|| Error::failed("the snapshot has its name already"))
    }
}

impl Drop for VerifiedFile<'_> {
    fn drop(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let saved = pending.persist_unverified();
        let path = saved.path.display();
        self.ui.warn_always(
            &Error::failed(format!("the run ended before the snapshot was on disk; it is kept as {path}"))
                .hint(format!("check it with 'kubectl etcd-backup verify {path}', or delete it")),
        );
        // It is dropped once.
        let _ = self.kept.set(saved.path);
    }
}
