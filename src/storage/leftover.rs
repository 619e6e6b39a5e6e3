//! Temporary files that killed runs left. They hold Secrets, and nothing else deletes them.
//!
//! A file counts only if a run of this program could have left it: it has the exact name, it is a plain file with mode
//! 0600 of this user, and no run holds its lock.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::temporary::is_temporary_name;
use crate::error::{Error, Result};

/// A file must be unchanged for this long before it may be deleted: not every file system has locks.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A temporary file that no run is known to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub size: u64,
    /// The time since the last change.
    pub age: Duration,
}

impl Leftover {
    /// Reports whether the file is old enough to be deleted.
    pub fn is_expired(&self) -> bool {
        self.age >= LONGEST_PAUSE
    }

    /// Deletes the file, unless it changed since it was found.
    ///
    /// # Errors
    /// It is in use or not the same file any more, or the directory is not writable.
    pub fn remove(&self) -> Result<()> {
        let failed = |why: &str| Error::failed(format!("cannot delete {}: {why}", self.path.display()));
        // Open, so that its lock is held until it is deleted.
        let Some((_file, found)) = open_unlocked(&self.path) else {
            return Err(failed("it changed or is in use"));
        };
        if !self.describes(&found) {
            return Err(failed("it changed or is in use"));
        }
        std::fs::remove_file(&self.path).map_err(|error| failed(&error.to_string()))
    }

    fn describes(&self, found: &Metadata) -> bool {
        found.len() == self.size && age(found) >= self.age
    }
}

/// Returns the leftovers in `directory`, sorted by name.
///
/// # Errors
/// The directory cannot be read.
pub fn find_leftovers(directory: &Path) -> io::Result<Vec<Leftover>> {
    let mut leftovers = Vec::new();
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary_name) {
            continue;
        }
        if let Some((_, found)) = open_unlocked(&path) {
            leftovers.push(Leftover { path, size: found.len(), age: age(&found) });
        }
    }
    leftovers.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(leftovers)
}

/// Returns zero for a time in the future.
fn age(found: &Metadata) -> Duration {
    let modified = found.modified().unwrap_or_else(|_| SystemTime::now());
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

/// Opens and locks a file of this user that no run writes. `None` for any other file.
fn open_unlocked(path: &Path) -> Option<(File, Metadata)> {
    let file = open_own(path).ok()?;
    let found = file.metadata().ok().filter(is_own)?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => None,
        // A file system without locks: only the age tells.
        Ok(()) | Err(TryLockError::Error(_)) => Some((file, found)),
    }
}

#[cfg(unix)]
fn open_own(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    // A link is not followed, and a pipe does not block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

#[cfg(unix)]
fn is_own(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.is_file() && found.mode() & 0o7777 == 0o600 && found.uid() == rustix::process::geteuid().as_raw()
}

/// This system has no modes that could tell whose file it is.
#[cfg(not(unix))]
fn open_own(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn is_own(_: &Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::storage::local_file::create_pending;

    fn file(path: &Path, mode: u32, age: u64) {
        std::fs::write(path, "x").expect("it is written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        let file = File::open(path).expect("it is there");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("it is ours");
    }

    fn found(directory: &Path) -> Vec<(String, bool)> {
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        let leftovers = find_leftovers(directory).expect("it can be read");
        leftovers.iter().map(|leftover| (name(&leftover.path), leftover.is_expired())).collect()
    }

    #[test]
    fn only_old_plain_private_files_are_expired_leftovers() {
        const DAY: u64 = 24 * 60 * 60;
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        file(&path(".old.db.aaaaaa.part"), 0o600, DAY + 60);
        file(&path(".new.db.aaaaaa.part"), 0o600, DAY - 60);
        file(&path(".public.db.aaaaaa.part"), 0o644, DAY + 60);
        file(&path(".kept.db.aaaaaa.part"), 0o400, DAY + 60);
        file(&path("snap.db"), 0o600, DAY + 60);
        symlink(path("snap.db"), path(".link.db.aaaaaa.part")).expect("a link");
        std::fs::create_dir(path(".dir.db.aaaaaa.part")).expect("a directory");
        let expected = [(".new.db.aaaaaa.part".to_owned(), false), (".old.db.aaaaaa.part".to_owned(), true)];
        assert_eq!(found(directory.path()), expected);
    }

    #[test]
    fn the_file_of_a_run_is_not_a_leftover_until_the_run_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        let pending = create_pending(&directory.path().join("snap.db"), false).expect("it can be written");
        assert_eq!(found(directory.path()), []);
        drop(pending);
        assert_eq!(found(directory.path()), []);
    }

    #[test]
    fn a_leftover_that_changed_is_not_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".x.db.aaaaaa.part");
        file(&path, 0o600, 100_000);
        let leftover = find_leftovers(directory.path()).expect("it can be read").remove(0);
        std::fs::write(&path, "another").expect("it is written");
        assert!(leftover.remove().expect_err("it changed").message().contains("it changed or is in use"));
        file(&path, 0o600, 100_000);
        let locked = File::open(&path).expect("it is there");
        locked.lock().expect("it is locked");
        assert!(leftover.remove().is_err(), "a run has locked it");
        drop(locked);
        let leftover = find_leftovers(directory.path()).expect("it can be read").remove(0);
        leftover.remove().expect("it is ours");
        assert!(!path.exists());
    }
}
