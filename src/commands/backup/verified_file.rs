//! The file of a snapshot between its verification and its name.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::Error;
use crate::storage::local_file::PendingFile;
use crate::ui::Ui;

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

    /// Waits until the bytes are on disk and returns the file, to be renamed at once.
    ///
    /// # Errors
    /// The disk or the file system failed; the file is kept under another name, which the message contains.
    pub(super) async fn sync(mut self) -> Result<PendingFile, Error> {
        let synced = match self.pending.as_ref().map(|pending| pending.file().try_clone()) {
            Some(Ok(file)) => match tokio::task::spawn_blocking(move || file.sync_all()).await {
                Ok(synced) => synced.map_err(|error| error.to_string()),
                Err(_) => Err("the writing thread panicked".to_owned()),
            },
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(()),
        };
        match (self.pending.take(), synced) {
            (Some(pending), Ok(())) => Ok(pending),
            (Some(pending), Err(why)) => Err(pending.persist_unsynced(&why)),
            (None, _) => Err(Error::failed("the snapshot has its name already")),
        }
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
