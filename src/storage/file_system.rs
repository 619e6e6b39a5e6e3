//! The calls that give a file its name. Tests implement the trait with calls that fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

pub(super) trait FileSystem {
    /// Renames a file, and replaces `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, and fails if `to` exists. Many file systems do not support it.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, and fails if `to` exists.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates an empty file, and fails if it exists.
    fn create_new(&self, path: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// The file system of this machine.
pub(super) struct Disk;

impl FileSystem for Disk {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_new(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn create_new(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(drop)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Does nothing on Windows, which cannot sync a directory.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android", target_vendor = "apple"))))]
fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = tempfile::TempPath::try_from_path(from)?;
    temporary.persist_noclobber(to).map_err(|mut failed| {
        failed.path.disable_cleanup(true);
        failed.error
    })
}

/// Reports whether the file system, and not the file, is the reason of a failure: EINVAL, ENOSYS, ENOTSUP or EPERM.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::Unsupported {
        return true;
    }
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let reasons = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::PERM];
        reasons.iter().any(|reason| error.raw_os_error() == Some(reason.raw_os_error()))
    }
    #[cfg(not(unix))]
    false
}
