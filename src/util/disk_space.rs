//! Free space on this machine.

use std::path::Path;

/// Returns the number of bytes that can be written to the file system of `file`; `None` if the system does not report it.
pub fn available_bytes(file: &Path) -> Option<u64> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    available_in(directory)
}

#[cfg(unix)]
fn available_in(directory: &Path) -> Option<u64> {
    // A file system without a size, such as a mount of an object store, has no blocks at all.
    let stat = rustix::fs::statvfs(directory).ok().filter(|stat| stat.f_blocks > 0)?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn available_in(_: &Path) -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_that_of_the_directory_of_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(available_bytes(&directory.path().join("snap.db")).is_some_and(|bytes| bytes > 0));
        assert_eq!(available_bytes(&directory.path().join("missing/snap.db")), None);
    }
}
