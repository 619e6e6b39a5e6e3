//! A directory that is gone when its owner is, also an owner that is never dropped.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What all tests of a process share lives in a `static`, which Rust never drops. So a shell waits for the end of its
/// standard input, which is the end of this value or of this process, and removes the directory.
pub struct Directory {
    path: tempfile::TempDir,
    _watch: Child,
}

impl Directory {
    pub fn new() -> Self {
        let path = tempfile::tempdir().expect("a directory");
        let watch = Command::new("sh")
            .args(["-c", "read -r _; rm -rf \"$1\"", "sh"])
            .arg(path.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh starts");
        Directory { path, _watch: watch }
    }

    pub fn path(&self) -> &Path {
        self.path.path()
    }
}
