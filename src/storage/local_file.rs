//! The file of a snapshot on this machine.
//!
//! The file gets its name only after verification. Until then it is a temporary file in the same directory, which only
//! its owner can read and which is deleted at the end of the run.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

use super::output_writer::OutputWriter;
use crate::error::{Error, Result};

/// A file that does not have its name yet. Dropping it deletes it.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    file: File,
    temporary: TempPath,
    replace: bool,
}

/// Checks that `target` can be written and creates the temporary file beside it. With `replace`, an existing file stays
/// until [`PendingFile::persist`].
///
/// # Errors
/// The target exists, it is not a plain file, or its directory does not exist or is not writable.
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
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = target.file_name() else {
        return Err(
            Error::failed(format!("cannot write {shown}: it does not name a file")).hint("name a file with --out")
        );
    };
    let (file, temporary) = create_temporary(directory, &name.to_string_lossy())?.into_parts();
    Ok(PendingFile { target: target.to_owned(), file, temporary, replace })
}

/// Checks that a file can be created in `directory`.
///
/// # Errors
/// The directory does not exist or is not writable.
pub fn check_directory(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    create_temporary(directory, "etcd").map(drop)
}

fn create_temporary(directory: &Path, name: &str) -> Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    Builder::new().prefix(&prefix).suffix(".part").tempfile_in(directory).map_err(|error| {
        let kind = error.kind();
        // The library's own message names the temporary file, which the user does not know.
        let why = match kind {
            io::ErrorKind::NotFound => "it does not exist".to_owned(),
            kind => kind.to_string(),
        };
        let failed = Error::failed(format!("cannot write to directory {}: {why}", directory.display()));
        if kind == io::ErrorKind::NotFound {
            failed.hint(format!("create it with 'mkdir -p {}'", directory.display()))
        } else {
            failed
        }
    })
}

/// A file that has its final name.
#[derive(Debug)]
pub struct SavedFile {
    pub path: PathBuf,
    /// Set if the name, not the content, may be lost in a power failure.
    pub warning: Option<String>,
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
    /// Another file took the name during the run, or the directory changed. The snapshot is verified, so it is kept
    /// under another name, which the message contains.
    pub fn persist(self) -> Result<SavedFile> {
        let PendingFile { target, temporary, replace, .. } = self;
        let persisted = if replace { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
        let Err(failed) = persisted else {
            return Ok(sync_name(target));
        };
        let why = match failed.error.kind() {
            io::ErrorKind::AlreadyExists => "another file took this name during the run".to_owned(),
            _ => failed.error.to_string(),
        };
        let other = save_beside(&target, ".new", failed.path)?;
        Err(Error::failed(format!(
            "cannot rename the snapshot to {}: {why}; it is verified and kept as {}",
            target.display(),
            other.path.display()
        ))
        .hint("rename the file with mv, or use --force to replace an existing file"))
    }

    /// Gives the file the name `TARGET.unverified`, because it may be the only copy. An existing file with that name
    /// stays, and this one gets a number. As with [`PendingFile::persist`], its bytes must be on disk.
    ///
    /// # Errors
    /// The directory is not writable any more.
    pub fn persist_unverified(self) -> Result<SavedFile> {
        save_beside(&self.target, ".unverified", self.temporary)
    }
}

/// Gives a file the name of the target with `ending` appended, and a number if that name is taken.
fn save_beside(target: &Path, ending: &str, mut temporary: TempPath) -> Result<SavedFile> {
    for number in 1_u64.. {
        let mut name = target.as_os_str().to_owned();
        name.push(ending);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let name = PathBuf::from(name);
        match temporary.persist_noclobber(&name) {
            Ok(()) => return Ok(sync_name(name)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => temporary = error.path,
            Err(error) => {
                return Err(Error::failed(format!(
                    "cannot rename the snapshot to {}: {}",
                    name.display(),
                    error.error
                )));
            }
        }
    }
    Err(Error::failed(format!("cannot rename the snapshot to {}{ending}: all names are taken", target.display())))
}

/// Makes the new name durable. A failure is a warning only, because some file systems cannot sync a directory.
fn sync_name(path: PathBuf) -> SavedFile {
    let warning = sync_directory_of(&path).err().map(|error| {
        format!("cannot sync the directory of {}: {error}; a power failure may undo the file's name", path.display())
    });
    SavedFile { path, warning }
}

/// Does nothing on Windows, which cannot sync a directory.
fn sync_directory_of(target: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("it can be read");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_gets_its_name_at_the_end_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        let pending = create_pending(&target, false).expect("it can be written");
        pending.file().write_all(b"bytes").expect("it is written");
        assert!(!target.exists());
        pending.persist().expect("it is kept");
        assert_eq!(names(directory.path()), ["snap.db"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&target).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_not_persisted_is_deleted() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(create_pending(&directory.path().join("snap.db"), false).expect("it can be written"));
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn an_existing_file_stays_until_the_new_one_is_persisted() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        std::fs::write(&target, "old").expect("it is written");
        assert!(create_pending(&target, false).expect_err("it exists").message().contains("it already exists"));
        let pending = create_pending(&target, true).expect("it may be replaced");
        pending.file().write_all(b"new").expect("it is written");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "old");
        pending.persist().expect("it is kept");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "new");
    }

    #[test]
    fn a_name_that_was_taken_during_the_run_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        let pending = create_pending(&target, false).expect("it can be written");
        pending.file().write_all(b"ours").expect("it is written");
        std::fs::write(&target, "theirs").expect("it is written");
        let error = pending.persist().expect_err("the name is taken");
        assert!(error.message().ends_with("snap.db.new"), "{error}");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "theirs");
        // A verified snapshot is kept, even under another name.
        let other = directory.path().join("snap.db.new");
        assert_eq!(std::fs::read_to_string(other).expect("it is there"), "ours");
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn an_unverified_file_overwrites_neither_the_target_nor_an_earlier_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        std::fs::write(&target, "old").expect("it is written");
        for content in ["first", "second"] {
            let pending = create_pending(&target, true).expect("it may be replaced");
            pending.file().write_all(content.as_bytes()).expect("it is written");
            pending.persist_unverified().expect("it is kept");
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is there");
        assert_eq!(read("snap.db"), "old");
        assert_eq!(read("snap.db.unverified"), "first");
        assert_eq!(read("snap.db.unverified.2"), "second");
        assert_eq!(names(directory.path()).len(), 3);
    }

    #[test]
    fn a_target_that_cannot_be_written_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(
            create_pending(directory.path(), true).expect_err("a directory").message().ends_with("it is a directory")
        );
        let error = create_pending(&directory.path().join("no/snap.db"), false).expect_err("it is missing");
        assert!(error.hints()[0].starts_with("create it with 'mkdir -p"));
        let error = create_pending(&directory.path().join("new/"), false).expect_err("it ends like a directory");
        assert!(error.message().contains("a directory that does not exist"), "{error}");
        assert!(check_directory(directory.path()).is_ok() && check_directory(&directory.path().join("no")).is_err());
        assert!(names(directory.path()).is_empty());
    }
}
