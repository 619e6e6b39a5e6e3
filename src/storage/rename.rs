//! Renames a verified snapshot without ever deleting it.
//!
//! Object stores and shared folders (rclone, s3fs, gcsfuse, blobfuse2, vboxsf; SMB, NFS and exFAT on macOS) can neither
//! rename without replacing nor link. There the name is reserved with an empty file, and the snapshot replaces it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::file_system::{FileSystem, is_unsupported};

/// Why a file did not get a name. It still has its old one.
#[derive(Debug)]
pub(super) enum RenameError {
    /// Another file has the name.
    Taken,
    Failed {
        error: io::Error,
        /// An empty file that could not be removed.
        left: Option<PathBuf>,
    },
}

impl fmt::Display for RenameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RenameError::Taken => f.write_str("all such names are taken"),
            RenameError::Failed { error, left: None } => write!(f, "{error}"),
            RenameError::Failed { error, left: Some(left) } => {
                write!(f, "{error}; the incomplete file {} was left", left.display())
            }
        }
    }
}

/// The temporary file, which nothing deletes any more.
#[derive(Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    /// What the open file said of itself.
    metadata: Option<Metadata>,
}

/// What is left to tell after a file got its name.
pub(super) type Renamed = Result<Option<String>, RenameError>;

impl Source {
    pub(super) fn new(path: PathBuf, file: &File) -> Self {
        Source { path, metadata: file.metadata().ok() }
    }

    /// Renames the file, and replaces `target`.
    pub(super) fn replace(&self, fs: &dyn FileSystem, target: &Path) -> Renamed {
        match fs.rename(&self.path, target) {
            Ok(()) => Ok(None),
            Err(error) => self.judge(target, error),
        }
    }

    /// Renames the file if `target` does not exist.
    pub(super) fn rename_new(&self, fs: &dyn FileSystem, target: &Path) -> Renamed {
        match fs.rename_new(&self.path, target) {
            Ok(()) => return Ok(None),
            Err(error) if is_unsupported(&error) => {}
            Err(error) => return self.judge(target, error),
        }
        match fs.hard_link(&self.path, target) {
            Ok(()) => return Ok(self.remove_first_name(fs)),
            Err(error) if is_unsupported(&error) => {}
            Err(error) => return self.judge(target, error),
        }
        if let Err(error) = fs.create_new(target) {
            return self.judge(target, error);
        }
        match fs.rename(&self.path, target) {
            Ok(()) => Ok(None),
            Err(error) if self.became(target) => self.judge(target, error),
            Err(error) => Err(RenameError::Failed { error, left: self.remove_placeholder(fs, target) }),
        }
    }

    /// Decides what a failed call means: a server may rename the file and lose the answer.
    fn judge(&self, target: &Path, error: io::Error) -> Renamed {
        if self.became(target) {
            return Ok(None);
        }
        Err(match error.kind() {
            io::ErrorKind::AlreadyExists => RenameError::Taken,
            _ => RenameError::Failed { error, left: None },
        })
    }

    /// Reports whether this file has the name `target` now, and no other one.
    fn became(&self, target: &Path) -> bool {
        let is_gone = std::fs::symlink_metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let found = std::fs::symlink_metadata(target).ok();
        is_gone && self.metadata.as_ref().zip(found.as_ref()).is_some_and(|(own, found)| is_same_file(own, found))
    }

    /// Removes the temporary name of a file that has two. Returns a warning if that fails.
    fn remove_first_name(&self, fs: &dyn FileSystem) -> Option<String> {
        let error = fs.remove_file(&self.path).err()?;
        Some(format!("cannot delete {}: {error}; it is a second name of the snapshot", self.path.display()))
    }

    /// Removes the empty file at `target` and returns its path if it stays. A file system may have copied the snapshot
    /// there before it failed, so the file is only removed if it is empty and the snapshot has all its bytes.
    fn remove_placeholder(&self, fs: &dyn FileSystem, target: &Path) -> Option<PathBuf> {
        let size =
            |path: &Path| std::fs::symlink_metadata(path).ok().filter(Metadata::is_file).map(|found| found.len());
        let is_whole = self.metadata.as_ref().is_some_and(|own| size(&self.path) == Some(own.len()));
        let is_removed = is_whole && size(target) == Some(0) && fs.remove_file(target).is_ok();
        (!is_removed && target.symlink_metadata().is_ok()).then(|| target.to_owned())
    }
}

#[cfg(unix)]
fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino(), one.len()) == (other.dev(), other.ino(), other.len())
}

#[cfg(not(unix))]
fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}
