//! Files that are not a bbolt database: what their first bytes tell.

use crate::error::{Problem, ReadFailure};
use crate::io::ReadAt;

/// File signatures, with the name of the format and a hint.
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "gzip", "unpack it with 'gunzip', and verify what is inside"),
    (b"PK\x03\x04", "zip", "unpack it with 'unzip', and verify what is inside"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it with 'zstd -d', and verify what is inside"),
    (b"\xfd7zXZ\0", "xz", "unpack it with 'xz -d', and verify what is inside"),
    (b"BZh", "bzip2", "unpack it with 'bunzip2', and verify what is inside"),
    (b"\x04\x22\x4d\x18", "lz4", "unpack it with 'lz4 -d', and verify what is inside"),
    (b"age-encryption.org/", "age", "decrypt it with 'age --decrypt', and verify what is inside"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age", "decrypt it with 'age --decrypt', and verify what is inside"),
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP", "decrypt it with 'gpg --decrypt', and verify what is inside"),
    (b"Salted__", "'openssl enc'", "decrypt it with 'openssl enc -d', and verify what is inside"),
    (b"\x78\x01", "zlib", ZLIB),
    (b"\x78\x9c", "zlib", ZLIB),
    (b"\x78\xda", "zlib", ZLIB),
    (
        b"[{\"etcdEvent\":",
        "Gardener delta snapshot",
        "verify the full snapshot (Full-*) that it builds on; only Gardener's etcd-backup-restore can apply this one",
    ),
    (b"SQLite format 3\0", "SQLite", "back it up with its own tools: k3s, for example, can store its state in SQLite"),
];

const ZLIB: &str = "unpack it with 'pigz -dz', and verify what is inside; Gardener's etcd-backup-restore can store snapshots \
                    like this";

/// The smallest bbolt file: two meta pages of the smallest page size.
const MIN_SIZE: u64 = 2048;

/// Returns what a file without a meta page is, as far as its first bytes tell.
pub(super) fn diagnose<S: ReadAt + ?Sized>(source: &S, size: u64) -> Result<Problem, ReadFailure> {
    let mut head = vec![0; usize::try_from(size.min(4096)).unwrap_or_default()];
    source.read_exact_at(&mut head, 0)?;
    let (what, hint) = describe(&head, size);
    Ok(Problem { what, offset: None, hint })
}

fn describe(head: &[u8], size: u64) -> (String, String) {
    let pair = |what: &str, hint: &str| (what.to_owned(), hint.to_owned());
    if size == 0 {
        return pair("the file is empty", "the copy never began, or the disk was full: take the snapshot again");
    }
    if let Some((_, name, hint)) = SIGNATURES.iter().find(|(signature, ..)| head.starts_with(signature)) {
        return (format!("this is a {name} file, not a snapshot"), (*hint).to_owned());
    }
    if head.get(257..262) == Some(b"ustar") {
        return pair("this is a tar archive, not a snapshot", "unpack it with 'tar -xf', and verify what is inside");
    }
    if is_text(head) {
        return describe_text(head);
    }
    if size < MIN_SIZE {
        return (
            format!("the file is too short to be a snapshot: {size} bytes"),
            "the copy ended just after it began: take the snapshot again".to_owned(),
        );
    }
    if head.iter().all(|byte| *byte == 0) {
        return pair(
            "the file begins with zeros instead of a meta page",
            "the copy was interrupted, or the file was only allocated: take the snapshot again",
        );
    }
    pair(
        "this is not an etcd database: it does not have a bbolt meta page",
        "if it is encrypted or compressed, undo that and verify what is inside",
    )
}

fn describe_text(head: &[u8]) -> (String, String) {
    let start = head.trim_ascii_start();
    let start = start.get(..15).unwrap_or(start).to_ascii_lowercase();
    let (what, hint) = if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        ("an HTML page", "look into the file: a server answered the download with a login page or an error page")
    } else if start.starts_with(b"{") || start.starts_with(b"[") {
        ("JSON", "look into the file: a server answered the download with a message")
    } else {
        ("text", "look into the file: an error message or a log was saved instead of the snapshot")
    };
    (format!("this is {what}, not a snapshot"), hint.to_owned())
}

/// Returns `true` for the beginning of a text: UTF-8, possibly cut within a character, without control characters.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(bytes: &[u8]) -> String {
        let problem = diagnose(bytes, bytes.len() as u64).expect("memory can be read");
        assert!(!problem.hint.is_empty(), "{}", problem.what);
        problem.what
    }

    #[test]
    fn every_signature_is_recognised_at_any_length() {
        for (signature, name, _) in SIGNATURES {
            for filler in [&[][..], &[0x9a; 9000]] {
                assert_eq!(what(&[signature, filler].concat()), format!("this is a {name} file, not a snapshot"));
            }
        }
        let mut tar = vec![0; 10240];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(what(&tar), "this is a tar archive, not a snapshot");
    }

    #[test]
    fn text_is_told_apart_by_its_beginning() {
        assert_eq!(what(b"\n <!DOCTYPE html><html>"), "this is an HTML page, not a snapshot");
        assert_eq!(what(b"<HTML>"), "this is an HTML page, not a snapshot");
        assert_eq!(what(b" {\"code\":403}"), "this is JSON, not a snapshot");
        assert_eq!(what(b"[]"), "this is JSON, not a snapshot");
        assert_eq!(what(b"Error: not found\n"), "this is text, not a snapshot");
        // The first 4096 bytes end within a character.
        assert_eq!(what(&[b"x".as_slice(), "ä".repeat(4000).as_bytes()].concat()), "this is text, not a snapshot");
    }

    #[test]
    fn what_is_left_is_told_by_its_size_and_zeros() {
        assert_eq!(what(b""), "the file is empty");
        assert_eq!(what(&[0xed; 700]), "the file is too short to be a snapshot: 700 bytes");
        assert_eq!(what(&[0; 2048]), "the file begins with zeros instead of a meta page");
        assert_eq!(what(&[0xed; 2048]), "this is not an etcd database: it does not have a bbolt meta page");
    }
}
