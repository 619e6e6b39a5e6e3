//! Reads the document of a backup, to compare a file with it.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The file that a backup document describes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExpectedFile {
    size_bytes: u64,
    sha256: String,
    #[serde(default)]
    hash: Option<u32>,
}

/// The largest document in bytes. The user may name a snapshot by mistake.
const MAX_SIZE: u64 = 1 << 20;

impl ExpectedFile {
    /// Reads a document in JSON or YAML.
    ///
    /// # Errors
    /// The file cannot be read, or it is not the document of a backup.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let unreadable = |error: std::io::Error| Error::failed(format!("cannot read the document {name}: {error}"));
        let not_a_document = || {
            Error::usage(format!("cannot read the document {name}: it is not the document of a backup"))
                .hint("name the output of 'kubectl etcd-backup -o json' with --document")
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_SIZE {
            return Err(not_a_document());
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| not_a_document())?;
        // JSON is a subset of YAML.
        crate::util::yaml::from_str(&text).ok_or_else(not_a_document)
    }

    /// Returns the first difference between a file and the document. A hash that one of them does not have is not a
    /// difference.
    pub(super) fn find_difference(&self, size: u64, sha256: Option<&str>, hash: Option<u32>) -> Option<String> {
        if size != self.size_bytes {
            return Some(format!("the file has {size} bytes, but the document says {}", self.size_bytes));
        }
        if sha256.is_none_or(|sha256| !sha256.eq_ignore_ascii_case(&self.sha256)) {
            return Some("the file has another sha-256 than the document".to_owned());
        }
        let hashes = self.hash.zip(hash).filter(|(expected, hash)| expected != hash);
        hashes.map(|(expected, hash)| format!("the file has the hash {hash}, but the document says {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn expected(hash: Option<u32>) -> ExpectedFile {
        ExpectedFile { size_bytes: 4096, sha256: "ab01".to_owned(), hash }
    }

    #[test]
    fn the_first_difference_is_the_size_then_the_sha_256_then_the_hash() {
        let file = expected(Some(7));
        assert_eq!(file.find_difference(4096, Some("ab01"), Some(7)), None);
        assert_eq!(file.find_difference(4096, Some("AB01"), Some(7)), None, "hex has no case");
        for (size, sha256, hash, difference) in [
            (77, Some("ff"), Some(8), "the file has 77 bytes, but the document says 4096"),
            (4096, Some("ff"), Some(8), "the file has another sha-256 than the document"),
            (4096, None, Some(7), "the file has another sha-256 than the document"),
            (4096, Some("ab01"), Some(8), "the file has the hash 8, but the document says 7"),
        ] {
            assert_eq!(file.find_difference(size, sha256, hash).as_deref(), Some(difference));
        }
    }

    #[test]
    fn a_missing_hash_is_not_a_difference() {
        assert_eq!(expected(None).find_difference(4096, Some("ab01"), Some(7)), None);
        assert_eq!(expected(Some(7)).find_difference(4096, Some("ab01"), None), None);
    }

    #[test]
    fn a_document_is_read_from_json_and_yaml() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("document");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("it is written");
            ExpectedFile::read(&path)
        };
        let json = r#"{"file": "x.db", "sizeBytes": 4096, "sha256": "ab01", "hash": 7, "warnings": []}"#;
        assert_eq!(read(json), Ok(expected(Some(7))));
        assert_eq!(read("sizeBytes: 4096\nsha256: ab01\nhash: null\n"), Ok(expected(None)));
        for other in ["{}", "[]", "text", "", "\u{0}"] {
            assert_eq!(read(other).expect_err(other).kind(), ErrorKind::Usage, "{other:?}");
        }
        let large = format!("{json}{}", " ".repeat(2 << 20));
        assert_eq!(read(&large).expect_err("it is too large").kind(), ErrorKind::Usage);
        let missing = ExpectedFile::read(&directory.path().join("missing")).expect_err("it is missing");
        assert_eq!(missing.kind(), ErrorKind::Failed);
    }
}
