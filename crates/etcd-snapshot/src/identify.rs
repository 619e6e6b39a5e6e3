//! Files that are no bbolt database: what they are instead, as far as their first bytes tell.

use crate::io::read_at::ReadAt;
use crate::report::{Problem, ReadFailure};

/// Marks at the beginning of files, and how to get at a snapshot that may be inside.
const MARKS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "gzip", "unpack it with 'gunzip' and verify what is inside"),
    (b"PK\x03\x04", "zip", "unpack it with 'unzip' and verify what is inside"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it with 'zstd -d' and verify what is inside"),
    (b"\xfd7zXZ\0", "xz", "unpack it with 'xz -d' and verify what is inside"),
    (b"BZh", "bzip2", "unpack it with 'bunzip2' and verify what is inside"),
    (b"\x04\x22\x4d\x18", "lz4", "unpack it with 'lz4 -d' and verify what is inside"),
    (b"age-encryption.org/", "age", "decrypt it with 'age --decrypt' and verify what is inside"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age", "decrypt it with 'age --decrypt' and verify what is inside"),
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP", "decrypt it with 'gpg --decrypt' and verify what is inside"),
    (b"Salted__", "'openssl enc'", "decrypt it with 'openssl enc -d' and verify what is inside"),
    (b"SQLite format 3\0", "SQLite", "k3s and others keep their state in such a file; etcd does not"),
];

/// The least that a bbolt file can be: both meta pages, of the smallest size.
const LEAST: u64 = 2048;

/// One sentence on a file without a meta page.
pub(crate) fn diagnose<S: ReadAt + ?Sized>(source: &S, size: u64) -> Result<Problem, ReadFailure> {
    let mut head = vec![0; usize::try_from(size.min(4096)).unwrap_or_default()];
    source.read_exact_at(&mut head, 0)?;
    let (what, hint) = describe(&head, size);
    Ok(Problem { what, offset: None, hint })
}

/// The beginning of a text: UTF-8, perhaps cut within a character, without control characters.
fn is_text(head: &[u8]) -> bool {
    let utf8 = match str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    utf8 && head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
}

fn describe(head: &[u8], size: u64) -> (String, String) {
    let pair = |what: &str, hint: &str| (what.to_owned(), hint.to_owned());
    if size == 0 {
        return pair("the file is empty", "the copy never began, or the disk was full");
    }
    if let Some((_, name, hint)) = MARKS.iter().find(|(mark, ..)| head.starts_with(mark)) {
        return (format!("this is a {name} file, not a snapshot"), (*hint).to_owned());
    }
    if head.get(257..262) == Some(b"ustar") {
        return pair("this is a tar archive, not a snapshot", "unpack it with 'tar -xf' and verify what is inside");
    }
    if is_text(head) {
        let start = head.trim_ascii_start().get(..15).unwrap_or(head.trim_ascii_start()).to_ascii_lowercase();
        return if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
            pair(
                "this is an HTML page, not a snapshot",
                "a server answered the download with a page: a login or an error",
            )
        } else if start.starts_with(b"{") || start.starts_with(b"[") {
            pair("this is JSON, not a snapshot", "a server answered the download with a message; look into the file")
        } else {
            pair("this is text, not a snapshot", "an error message or a log was saved in its place; look into the file")
        };
    }
    if size < LEAST {
        return (
            format!("the file is too short to be a snapshot: {size} bytes"),
            "the copy ended just after it began; take the snapshot again".to_owned(),
        );
    }
    if head.iter().all(|byte| *byte == 0) {
        return pair(
            "the file begins with zeros where a database has its meta pages",
            "the beginning was never written: a copy that was interrupted, or a file that was only allocated",
        );
    }
    pair(
        "this is no etcd database: it has no bbolt meta page",
        "it may be encrypted, compressed, or another file; a snapshot begins with a page that bbolt marks",
    )
}
