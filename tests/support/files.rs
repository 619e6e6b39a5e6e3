//! Database files for the tests, made by etcd and by bbolt itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::directory::Directory;
use super::etcd::{Etcd, tool};

/// The directory of what `snapmaker` makes with these words, made once.
fn made(words: &[&str], directory: &Path) {
    let output = Command::new(tool("snapmaker")).args(words).arg(directory).output().expect("snapmaker starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A file that bbolt made: `pages-4096.db`, `free-many.db`, `foreign.db`, …
pub fn bolt(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<Directory> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = Directory::new();
        made(&["bolt"], directory.path());
        directory
    });
    directory.path().join(name)
}

/// A small database with small pages: `empty.db`, `branch-free.db`, …
pub fn seed(name: &str) -> Vec<u8> {
    static DIRECTORY: OnceLock<Directory> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = Directory::new();
        made(&["seeds"], directory.path());
        directory
    });
    std::fs::read(directory.path().join(name)).expect("it can be read")
}

/// A snapshot of an etcd with keys, tombstones, leases, users and a past, just after a defragmentation.
pub fn snapshot() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let etcd = Etcd::start();
        let directory = tempfile::tempdir().expect("a directory");
        let output = Command::new(tool("snapmaker"))
            .args(["live", &etcd.url])
            .arg(directory.path())
            .args(["40", "5"])
            .output()
            .expect("snapmaker starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        etcd.defragment();
        let path = directory.path().join("snapshot.db");
        etcd.save(&path);
        std::fs::read(path).expect("it can be read")
    })
}

/// Makes the trailer right again.
pub fn mend(bytes: &mut [u8]) {
    let (body, trailer) = bytes.split_at_mut(bytes.len() - 32);
    trailer.copy_from_slice(Sha256::digest(body).as_slice());
}
