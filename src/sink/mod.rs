//! Where a snapshot goes.
//!
//! A file appears under its name only when it is proven; until then it has a name of its own beside it, readable by
//! its owner alone, and disappears with the run.

mod room;

pub use room::room_for;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

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
pub struct Pending {
    target: PathBuf,
    temporary: TempPath,
    replace: bool,
}

/// Checks that `target` can be written and makes the temporary file beside it. With `replace`, an existing file stays
/// until [`Pending::keep`].
///
/// # Errors
/// The target exists, is no plain file, or its directory is missing or cannot be written to.
pub fn prepare(target: &Path, replace: bool) -> Result<(Pending, File)> {
    let shown = target.display();
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
    let prefix = format!(".{}.", name.to_string_lossy());
    let made = Builder::new().prefix(&prefix).suffix(".part").tempfile_in(directory).map_err(|error| {
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
    })?;
    let (file, temporary) = made.into_parts();
    Ok((Pending { target: target.to_owned(), temporary, replace }, file))
}

impl Pending {
    /// Makes sure that the bytes are on disk, and gives the file its name.
    ///
    /// # Errors
    /// The disk failed, or another file took the name meanwhile; then no file keeps the name because of us.
    pub fn keep(self, file: &File) -> Result<PathBuf> {
        let Pending { target, temporary, replace } = self;
        file.sync_all().map_err(|error| unfinished(&target, &error))?;
        let persisted = if replace { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
        persisted.map_err(|error| {
            if error.error.kind() == io::ErrorKind::AlreadyExists {
                Error::failed(format!("{} appeared while the snapshot was taken", target.display()))
                    .hint("choose another name, or replace it with --force")
            } else {
                unfinished(&target, &error.error)
            }
        })?;
        sync_directory(&target).map_err(|error| unfinished(&target, &error))?;
        Ok(target)
    }

    /// Makes sure that the bytes are on disk, and gives the file the name `TARGET.unproven`: it is not what was asked
    /// for, and it may be the only copy there is. A file that an earlier run left under that name stays, and this one
    /// gets a number behind it. Returns the name.
    ///
    /// # Errors
    /// The disk failed.
    pub fn keep_unproven(self, file: &File) -> Result<PathBuf> {
        let Pending { target, mut temporary, .. } = self;
        file.sync_all().map_err(|error| unfinished(&target, &error))?;
        let mut number = 1_u64;
        loop {
            let mut name = target.clone().into_os_string();
            name.push(".unproven");
            if number > 1 {
                name.push(format!(".{number}"));
            }
            let name = PathBuf::from(name);
            match temporary.persist_noclobber(&name) {
                Ok(()) => {
                    sync_directory(&name).map_err(|error| unfinished(&name, &error))?;
                    return Ok(name);
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => temporary = error.path,
                Err(error) => return Err(unfinished(&name, &error.error)),
            }
            number += 1;
        }
    }
}

fn unfinished(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot finish {}: {error}", path.display()))
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
        let (pending, mut file) = prepare(&target, false).expect("it can be written");
        file.write_all(b"bytes").expect("it is written");
        assert!(!target.exists());
        pending.keep(&file).expect("it is kept");
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
        let (pending, mut file) = prepare(&target, true).expect("it may be replaced");
        file.write_all(b"new").expect("it is written");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "old");
        pending.keep(&file).expect("it is kept");
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "new");
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        let (pending, file) = prepare(&target, false).expect("it can be written");
        std::fs::write(&target, "theirs").expect("it is written");
        assert!(pending.keep(&file).is_err());
        assert_eq!(names(directory.path()), ["snap.db"]);
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "theirs");
    }

    #[test]
    fn an_unproven_file_overwrites_neither_the_target_nor_an_earlier_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("snap.db");
        std::fs::write(&target, "old").expect("it is written");
        for content in ["first", "second"] {
            let (pending, mut file) = prepare(&target, true).expect("it may be replaced");
            file.write_all(content.as_bytes()).expect("it is written");
            pending.keep_unproven(&file).expect("it is kept");
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is there");
        assert_eq!(read("snap.db"), "old");
        assert_eq!(read("snap.db.unproven"), "first");
        assert_eq!(read("snap.db.unproven.2"), "second");
        assert_eq!(names(directory.path()).len(), 3);
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(prepare(directory.path(), true).expect_err("a directory").message().ends_with("is a directory"));
        let error = prepare(&directory.path().join("no/snap.db"), false).expect_err("it is missing");
        assert!(error.hints()[0].starts_with("make it first"));
    }
}
