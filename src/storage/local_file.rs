//! Where a snapshot goes.
//!
//! A file appears under its name only when it is verified; until then it has a name of its own beside it, readable by
//! its owner alone, and disappears with the run.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::error::{Error, Result};

/// What the bytes are written to.
#[derive(Debug)]
pub enum Writer {
    /// The temporary file.
    File(File),
    /// Standard output.
    Stdout(io::Stdout),
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::File(file) => file.write(bytes),
            Writer::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::File(file) => file.flush(),
            Writer::Stdout(stdout) => stdout.flush(),
        }
    }
}

/// A file that does not have its name yet. Dropped, it is removed.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    file: File,
    temporary: TempPath,
    replace: bool,
}

/// Checks that `target` can be written and makes the temporary file beside it. With `replace`, an existing file stays
/// until [`PendingFile::persist`].
///
/// # Errors
/// The target exists, is no plain file, or its directory is missing or cannot be written to.
pub fn prepare(target: &Path, replace: bool) -> Result<PendingFile> {
    let shown = target.display();
    if target.to_string_lossy().ends_with(std::path::is_separator) && !target.is_dir() {
        return Err(Error::failed(format!("{shown} is no name of a file, but one of a directory that does not exist"))
            .hint(format!("make it first: mkdir -p {shown}; then name a file in it: --out {shown}snap.db")));
    }
    match std::fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => {
            return Err(Error::failed(format!("{shown} is a directory"))
                .hint(format!("name a file in it: --out {}", target.join("snap.db").display())));
        }
        Ok(found) if !found.is_file() => {
            return Err(Error::failed(format!("{shown} exists and is no plain file"))
                .hint("for a stream on standard output use --out -"));
        }
        Ok(_) if !replace => {
            return Err(Error::failed(format!("{shown} exists already"))
                .hint("choose another name, or replace it with --force"));
        }
        Ok(_) | Err(_) => {}
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = target.file_name() else {
        return Err(Error::failed(format!("{shown} is no name of a file")));
    };
    let made = temporary(directory, &name.to_string_lossy())?;
    let (file, temporary) = made.into_parts();
    Ok(PendingFile { target: target.to_owned(), file, temporary, replace })
}

/// Checks that a file can be made in `directory`.
///
/// # Errors
/// As [`prepare`].
pub fn writable(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    temporary(directory, "etcd").map(drop)
}

fn temporary(directory: &Path, name: &str) -> Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    Builder::new().prefix(&prefix).suffix(".part").tempfile_in(directory).map_err(|error| {
        let kind = error.kind();
        // The library's own text names the temporary file, which nobody asked for.
        let why = match kind {
            io::ErrorKind::NotFound => "it does not exist".to_owned(),
            kind => kind.to_string(),
        };
        let failed = Error::failed(format!("cannot write to directory {}: {why}", directory.display()));
        if kind == io::ErrorKind::NotFound {
            failed.hint(format!("make it first: mkdir -p {}", directory.display()))
        } else {
            failed
        }
    })
}

/// A file that has a name.
#[derive(Debug)]
pub struct Kept {
    /// The name.
    pub path: PathBuf,
    /// What might still go wrong with the name, not with the bytes.
    pub warning: Option<String>,
}

impl PendingFile {
    /// Returns the file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns what the bytes are written to.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn writer(&self) -> Result<Writer> {
        let copy = self.file.try_clone();
        copy.map(Writer::File).map_err(|error| Error::failed(format!("cannot use the temporary file: {error}")))
    }

    /// Gives the file its name. Its bytes must be on disk already ([`File::sync_all`]): this does not wait for them, so
    /// that nobody can interrupt it.
    ///
    /// # Errors
    /// Another file took the name meanwhile, or the directory changed. The snapshot is verified, so it is kept under
    /// another name then, which the sentence tells.
    pub fn persist(self) -> Result<Kept> {
        let PendingFile { target, temporary, replace, .. } = self;
        let persisted = if replace { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
        let Err(failed) = persisted else {
            return Ok(kept(target));
        };
        let why = match failed.error.kind() {
            io::ErrorKind::AlreadyExists => "it appeared while the snapshot was taken".to_owned(),
            _ => failed.error.to_string(),
        };
        let other = name_beside(&target, ".new", failed.path)?;
        Err(Error::failed(format!(
            "the snapshot cannot be called {}: {why}; it is verified, and kept as {}",
            target.display(),
            other.path.display()
        ))
        .hint("give it the name that you want"))
    }

    /// Gives the file the name `TARGET.unverified`: it is not what was asked for, and it may be the only copy there is. A
    /// file that an earlier run left under that name stays, and this one gets a number behind it. As with
    /// [`PendingFile::persist`], its bytes must be on disk.
    ///
    /// # Errors
    /// The directory cannot be written to any more.
    pub fn persist_unverified(self) -> Result<Kept> {
        name_beside(&self.target, ".unverified", self.temporary)
    }
}

/// Gives a file the target's name with `ending` behind it, and a number where that is taken.
fn name_beside(target: &Path, ending: &str, mut temporary: TempPath) -> Result<Kept> {
    for number in 1_u64.. {
        let mut name = target.as_os_str().to_owned();
        name.push(ending);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let name = PathBuf::from(name);
        match temporary.persist_noclobber(&name) {
            Ok(()) => return Ok(kept(name)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => temporary = error.path,
            Err(error) => return Err(Error::failed(format!("cannot finish {}: {}", name.display(), error.error))),
        }
    }
    Err(Error::failed(format!("cannot finish {}: all names are taken", target.display())))
}

fn kept(path: PathBuf) -> Kept {
    // Some file systems cannot do that to a directory; the file is there all the same.
    let warning = sync_directory(&path).err().map(|error| {
        format!("the name of {} might not survive a power cut: its directory cannot be synced: {error}", path.display())
    });
    Kept { path, warning }
}

/// The name itself must survive a power cut, too; only Unix can sync a directory.
fn sync_directory(target: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("it can be read");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_name_appears_only_at_the_end_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        let pending = prepare(&target, false).expect("it can be written");
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
    fn what_is_not_kept_leaves_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(prepare(&directory.path().join("snap.db"), false).expect("it can be written"));
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn an_existing_file_stays_until_the_new_one_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        std::fs::write(&target, "old").expect("it is written");
        assert!(prepare(&target, false).expect_err("it exists").message().contains("exists already"));
        let pending = prepare(&target, true).expect("it may be replaced");
        pending.file().write_all(b"new").expect("it is written");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "old");
        pending.persist().expect("it is kept");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "new");
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        let pending = prepare(&target, false).expect("it can be written");
        pending.file().write_all(b"ours").expect("it is written");
        std::fs::write(&target, "theirs").expect("it is written");
        let error = pending.persist().expect_err("the name is taken");
        assert!(error.message().ends_with("snap.db.new"), "{error}");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "theirs");
        // A verified snapshot is not thrown away for its name.
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
            let pending = prepare(&target, true).expect("it may be replaced");
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
    fn places_that_cannot_be_written_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(prepare(directory.path(), true).expect_err("a directory").message().ends_with("is a directory"));
        let error = prepare(&directory.path().join("no/snap.db"), false).expect_err("it is missing");
        assert!(error.hints()[0].starts_with("make it first"));
        let error = prepare(&directory.path().join("new/"), false).expect_err("it ends like a directory");
        assert!(error.message().contains("one of a directory that does not exist"), "{error}");
        assert!(writable(directory.path()).is_ok() && writable(&directory.path().join("no")).is_err());
        assert!(names(directory.path()).is_empty());
    }
}
