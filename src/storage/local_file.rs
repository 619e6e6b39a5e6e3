//! The file of a snapshot on this machine.
//!
//! The file gets its name only after verification. Until then it is a temporary file in the same directory, which only
//! its owner can read and which is deleted at the end of the run.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file_system::{Disk, FileSystem};
use super::output_writer::OutputWriter;
use super::rename::{RenameError, Source};
use super::temporary::create_temporary;
use crate::error::{Error, Result};

/// Names that are tried for a file whose own name is taken.
const MOST_NAMES: u32 = 1000;

/// A file that does not have its name yet. Dropping it deletes it.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    file: File,
    temporary: TempPath,
    replace: bool,
}

/// Checks that `target` can be written and renamed, and creates the temporary file beside it. With `replace`, an existing file stays
/// until [`PendingFile::persist`].
///
/// # Errors
/// The target exists, it is not a plain file, or its directory does not exist, is not writable or cannot rename files.
pub fn create_pending(target: &Path, replace: bool) -> Result<PendingFile> {
    let shown = target.display();
    if target.to_string_lossy().ends_with(std::path::is_separator) && !target.is_dir() {
        return Err(Error::failed(format!("cannot write {shown}: it is a directory that does not exist")).hint(
            format!("create the directory with 'mkdir -p {shown}', and name a file in it with --out {shown}snap.db"),
        ));
    }
    match std::fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => {
            return Err(Error::failed(format!("cannot write {shown}: it is a directory"))
                .hint(format!("name a file in it with --out {}", target.join("snap.db").display())));
        }
        Ok(found) if !found.is_file() => {
            return Err(Error::failed(format!("cannot write {shown}: it is not a plain file"))
                .hint("name another file with --out; to write to standard output, use --out -"));
        }
        Ok(_) if !replace => {
            return Err(Error::failed(format!("cannot write {shown}: it already exists"))
                .hint("choose another name with --out, or replace the file with --force"));
        }
        Ok(_) | Err(_) => {}
    }
    let Some(name) = target.file_name() else {
        return Err(
            Error::failed(format!("cannot write {shown}: it does not name a file")).hint("name a file with --out")
        );
    };
    let name = name.to_string_lossy();
    check_renames(&Disk, directory_of(target), &name)?;
    let (file, temporary) = create_temporary(directory_of(target), &name)?.into_parts();
    Ok(PendingFile { target: target.to_owned(), file, temporary, replace })
}

/// Checks that a file can be created and renamed in `directory`.
///
/// # Errors
/// The directory does not exist or is not writable, or its file system cannot rename files.
pub fn check_directory(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    check_renames(&Disk, directory, "etcd")
}

/// Renames an empty file in `directory`, before anything is asked of etcd. Mountpoint for Amazon S3 cannot do that.
fn check_renames(fs: &dyn FileSystem, directory: &Path, name: &str) -> Result<()> {
    let mut from = create_temporary(directory, name)?.into_temp_path();
    let to = create_temporary(directory, name)?.into_temp_path();
    fs.rename(&from, &to).map_err(|error| {
        Error::failed(format!("cannot rename files in directory {}: {error}", directory.display()))
            .hint("choose a directory on another file system with --out, or stream the snapshot with --out -")
    })?;
    from.disable_cleanup(true);
    Ok(())
}

/// A file that has its final name.
#[derive(Debug)]
pub struct SavedFile {
    pub path: PathBuf,
    /// What is wrong with its name, not with its content.
    pub warnings: Vec<String>,
}

impl PendingFile {
    /// Returns the file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns a writer to the file.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn writer(&self) -> Result<OutputWriter> {
        let copy = self.file.try_clone();
        copy.map(OutputWriter::File).map_err(|error| Error::failed(format!("cannot use the temporary file: {error}")))
    }

    /// Gives the file its name. Its bytes must be on disk already ([`File::sync_all`]): this function does not wait for
    /// them, so that no signal can interrupt it.
    ///
    /// # Errors
    /// Another file took the name during the run, or the file system refused. The snapshot is verified, so it is kept
    /// under another name, which the message contains.
    pub fn persist(self) -> Result<SavedFile> {
        self.persist_with(&Disk)
    }

    fn persist_with(self, fs: &dyn FileSystem) -> Result<SavedFile> {
        let (target, replace, source) = self.into_source();
        let renamed = if replace { source.replace(fs, &target) } else { source.rename_new(fs, &target) };
        let (why, other, hint) = match renamed {
            Ok(warning) => return Ok(SavedFile::new(fs, target, warning)),
            Err(RenameError::Taken) => (
                "another file took this name during the run".to_owned(),
                save_beside(fs, &target, ".new", &source),
                "rename the file with mv, or use --force to replace an existing file",
            ),
            Err(failed) => (
                failed.to_string(),
                SavedFile::unnamed(&source, &target),
                "rename the file with mv; choose another file system with --out for the next backup",
            ),
        };
        let (target, kept) = (target.display(), other.path.display());
        let message = format!("cannot rename the snapshot to {target}: {why}; it is verified and kept as {kept}");
        Err(other.warnings.into_iter().fold(Error::failed(message).hint(hint), Error::detail))
    }

    /// Gives the file the name `TARGET.unverified`, because it may be the only copy. An existing file with that name
    /// stays, and this one gets a number. As with [`PendingFile::persist`], its bytes must be on disk. If the file
    /// system refuses, the file keeps its temporary name, which is in the result.
    pub fn persist_unverified(self) -> SavedFile {
        self.persist_unverified_with(&Disk)
    }

    fn persist_unverified_with(self, fs: &dyn FileSystem) -> SavedFile {
        let (target, _, source) = self.into_source();
        save_beside(fs, &target, ".unverified", &source)
    }

    /// Keeps a snapshot that could not be written to disk: what is in memory was verified, what is on disk is unknown.
    /// Returns the error of the run.
    pub fn persist_unsynced(self, why: &str) -> Error {
        let saved = self.persist_unverified();
        let kept = saved.path.display();
        let error = Error::failed(format!("cannot write the snapshot to disk: {why}; it is kept as {kept}"))
            .hint(format!("check the disk, then run 'kubectl etcd-backup verify {kept}'"))
            .hint("choose another file system with --out");
        saved.warnings.into_iter().fold(error, Error::detail)
    }

    /// Closes the file. From here on nothing deletes it.
    fn into_source(self) -> (PathBuf, bool, Source) {
        let PendingFile { target, file, temporary, replace } = self;
        let kept = temporary.keep().unwrap_or_else(|mut failed| {
            failed.path.disable_cleanup(true);
            failed.path.to_path_buf()
        });
        // Relative if the target is, as in all messages.
        let path = kept.file_name().map(|name| target.with_file_name(name)).unwrap_or(kept);
        (target, replace, Source::new(path, &file))
    }
}

/// Gives a file the name of the target with `ending` appended, and a number if that name is taken.
fn save_beside(fs: &dyn FileSystem, target: &Path, ending: &str, source: &Source) -> SavedFile {
    let mut name = target.to_owned();
    let mut why = RenameError::Taken;
    for number in 1..=MOST_NAMES {
        let mut text = target.as_os_str().to_owned();
        text.push(ending);
        if number > 1 {
            text.push(format!(".{number}"));
        }
        name = PathBuf::from(text);
        match source.rename_new(fs, &name) {
            Ok(warning) => return SavedFile::new(fs, name, warning),
            Err(RenameError::Taken) => {}
            Err(failed) => {
                why = failed;
                break;
            }
        }
    }
    let mut saved = SavedFile::unnamed(source, target);
    saved.warnings.push(format!("cannot rename the snapshot to {}: {why}", name.display()));
    saved
}

impl SavedFile {
    /// Makes the new name durable. A failure is a warning only, because some file systems cannot sync a directory.
    fn new(fs: &dyn FileSystem, path: PathBuf, warning: Option<String>) -> Self {
        let synced = fs.sync_directory(directory_of(&path)).err().map(|error| {
            format!(
                "cannot sync the directory of {}: {error}; a power failure may undo the file's name",
                path.display()
            )
        });
        SavedFile { path, warnings: warning.into_iter().chain(synced).collect() }
    }

    /// A file that keeps its temporary name. A file system that fails may have moved it to `target`. The file becomes
    /// read-only, so that it is not taken for a leftover.
    fn unnamed(source: &Source, target: &Path) -> Self {
        if let Ok(mut permissions) = std::fs::metadata(&source.path).map(|found| found.permissions()) {
            permissions.set_readonly(true);
            let _ = std::fs::set_permissions(&source.path, permissions);
        }
        let mut saved = SavedFile { path: source.path.clone(), warnings: Vec::new() };
        if !source.path.exists() {
            saved.warnings.push(format!("{} is gone; look for it as {}", source.path.display(), target.display()));
        }
        saved
    }
}

/// Returns the directory that a file is in.
fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
