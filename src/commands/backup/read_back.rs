//! `--read-back`: reads the file again after it was written to disk, because verification reads it from memory.

use std::fs::File;
use std::io;

use etcd_snapshot::ReadAt;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::util::progress::Progress;

/// The bytes of one read.
const READ_SIZE: u64 = 1 << 20;

/// Places at which the cache is looked at.
#[cfg(target_os = "linux")]
const SAMPLES: u64 = 16;

/// The result of reading the file again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadBack {
    NotDone,
    /// The bytes came from disk and are those that were verified.
    FromDisk,
    /// The same bytes, but the system may have kept them in memory.
    FromCache,
    Differs,
    Unreadable(String),
}

impl ReadBack {
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, ReadBack::Differs | ReadBack::Unreadable(_))
    }

    /// Returns the result as the document names it.
    pub(super) fn label(&self) -> Option<&'static str> {
        match self {
            ReadBack::NotDone => None,
            ReadBack::FromDisk => Some("verified"),
            ReadBack::FromCache => Some("verified from cache"),
            ReadBack::Differs | ReadBack::Unreadable(_) => Some("failed"),
        }
    }

    pub(super) fn warning(&self) -> Option<&'static str> {
        let is_cached = *self == ReadBack::FromCache;
        is_cached.then_some("the file was read back, but perhaps from memory: the system did not drop its cache")
    }

    /// Returns the error of the run. `saved_as` is the file's name.
    pub(super) fn error(&self, saved_as: &str) -> Option<Error> {
        let (kind, message) = match self {
            ReadBack::Differs => (
                ErrorKind::BadFile,
                format!("the file on disk differs from the snapshot that was verified; it is kept as {saved_as}"),
            ),
            ReadBack::Unreadable(why) => {
                (ErrorKind::Failed, format!("cannot read the snapshot back: {why}; it is kept as {saved_as}"))
            }
            _ => return None,
        };
        let error = Error::new(kind, message).hint("check the disk and the memory of this machine");
        Some(error.hint("choose another file system with --out, and run the backup again"))
    }
}

/// Reads `file` again and compares it with the hash of the bytes that arrived.
pub(super) async fn read_back(file: &File, sha256: &str, progress: Box<dyn Progress>) -> ReadBack {
    let file = match file.try_clone() {
        Ok(file) => file,
        Err(error) => return ReadBack::Unreadable(error.to_string()),
    };
    let sha256 = sha256.to_owned();
    let thread = tokio::task::spawn_blocking(move || {
        let is_dropped = drop_cache(&file);
        let found = hash(&file, progress.as_ref());
        progress.finish();
        match found {
            Ok(found) if found != sha256 => ReadBack::Differs,
            Ok(_) if is_dropped => ReadBack::FromDisk,
            Ok(_) => ReadBack::FromCache,
            Err(error) => ReadBack::Unreadable(error.to_string()),
        }
    });
    thread.await.unwrap_or_else(|_| ReadBack::Unreadable("the reading thread panicked".to_owned()))
}

fn hash(file: &File, progress: &dyn Progress) -> io::Result<String> {
    let size = file.size()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_SIZE as usize];
    let mut offset = 0;
    while offset < size {
        let part = &mut buffer[..READ_SIZE.min(size - offset) as usize];
        file.read_exact_at(part, offset)?;
        hash.update(&part);
        offset += part.len() as u64;
        progress.set_position_clamped(offset);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Drops the file from the page cache. Returns whether it is gone from there, as far as samples tell.
#[cfg(target_os = "linux")]
fn drop_cache(file: &File) -> bool {
    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let Ok(size) = file.size() else { return false };
    if fadvise(file, 0, None, Advice::DontNeed).is_err() {
        return false;
    }
    // A read that must not wait fails if the byte is not in memory.
    (0..SAMPLES).all(|sample| {
        let mut byte = [0];
        let mut buffers = [io::IoSliceMut::new(&mut byte)];
        let offset = size.saturating_sub(1) / SAMPLES * sample;
        preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN)
    })
}

#[cfg(not(target_os = "linux"))]
fn drop_cache(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::util::progress::NoProgress;

    #[tokio::test]
    async fn a_file_that_changed_on_disk_differs_and_one_that_cannot_be_read_is_no_good_either() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"abc").expect("it is written");
        file.sync_all().expect("it is synced");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let same = read_back(&file, sha256, Box::new(NoProgress)).await;
        assert!(matches!(same, ReadBack::FromDisk | ReadBack::FromCache), "{same:?}");
        assert!(!same.is_bad() && same.error("x.db").is_none());
        file.write_all(b"d").expect("it is written");
        let other = read_back(&file, sha256, Box::new(NoProgress)).await;
        assert_eq!(other, ReadBack::Differs);
        assert_eq!(other.error("x.db.unverified").expect("an error").kind(), ErrorKind::BadFile);

        let directory = tempfile::tempdir().expect("a directory");
        let unreadable = File::create(directory.path().join("x.db")).expect("it can be written, but not read");
        unreadable.set_len(10).expect("it grows");
        let result = read_back(&unreadable, sha256, Box::new(NoProgress)).await;
        assert!(matches!(result, ReadBack::Unreadable(_)), "{result:?}");
        assert_eq!(result.error("x.db.unverified").expect("an error").kind(), ErrorKind::Failed);
    }
}
