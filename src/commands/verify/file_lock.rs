//! The lock that bbolt takes on a database that a member has open.

use std::fs::File;

/// Returns `true` if another process has locked the file, as a running etcd does (bbolt `bolt_unix.go`, `flock`).
///
/// The lock is only tried and released at once, because an etcd that starts would wait for it. A file system without
/// locks has no answer.
#[cfg(unix)]
pub(super) fn is_locked(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // The end of the process releases it as well.
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

/// etcd on Windows has locks that its other programs can see and this one cannot.
#[cfg(not(unix))]
pub(super) fn is_locked(_: &File) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn the_lock_of_another_process_is_seen_and_none_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("db");
        std::fs::write(&path, "").expect("it is written");
        let open = || File::open(&path).expect("it opens");
        let (ours, other) = (open(), open());
        assert!(!is_locked(&ours));
        // What bbolt does. It would wait for a lock that is kept.
        flock(&other, FlockOperation::NonBlockingLockExclusive).expect("nothing is locked");
        assert!(is_locked(&ours));
        drop(other);
        assert!(!is_locked(&ours));
        // Another reader, such as 'etcdutl snapshot status', does not write.
        let reader = open();
        flock(&reader, FlockOperation::NonBlockingLockShared).expect("nothing is locked");
        assert!(!is_locked(&ours));
    }
}
