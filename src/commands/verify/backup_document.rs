//! What a backup said of a file when it was taken, to be held against what the file is now.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The parts of a backup's document that a file can be compared with.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Expected {
    size_bytes: u64,
    sha256: String,
    #[serde(default)]
    hash: Option<u32>,
}

/// A document has some kilobytes; a file that was named by mistake may have gigabytes.
const MOST: u64 = 1 << 20;

impl Expected {
    /// Reads a document in JSON or YAML.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let failed = |error: std::io::Error| Error::failed(format!("cannot read the document {name}: {error}"));
        let none = || {
            Error::usage(format!("{name} is no document of a backup"))
                .hint("name the file that holds what 'kubectl etcd-backup -o json' printed")
        };
        if std::fs::metadata(path).map_err(failed)?.len() > MOST {
            return Err(none());
        }
        let text = std::fs::read(path).map_err(failed)?;
        let text = String::from_utf8(text).map_err(|_| none())?;
        // Every JSON document is one of YAML, too.
        crate::util::yaml::from_str(&text).ok_or_else(none)
    }

    /// In what the file is not the one that the document describes.
    pub(super) fn differs(&self, size: u64, sha256: Option<&str>, hash: Option<u32>) -> Option<String> {
        if size != self.size_bytes {
            return Some(format!("the document says that the file has {} bytes, it has {size}", self.size_bytes));
        }
        if sha256.is_none_or(|sum| !sum.eq_ignore_ascii_case(&self.sha256)) {
            return Some("the document gives another sha-256 for the file".to_owned());
        }
        let hashes = self.hash.zip(hash).filter(|(expected, hash)| expected != hash);
        hashes.map(|(expected, hash)| format!("the document gives the hash {expected}, the file has {hash}"))
    }
}
