//! How much room there is on this machine.

use std::path::Path;

/// Bytes that can still be written where `file` will lie; `None` where the system does not tell.
pub fn room_for(file: &Path) -> Option<u64> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    available(directory)
}

#[cfg(unix)]
fn available(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn available(_: &Path) -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_that_of_the_files_own_file_system() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(room_for(&directory.path().join("snap.db")).is_some_and(|bytes| bytes > 0));
        assert_eq!(room_for(&directory.path().join("missing/snap.db")), None);
    }
}
