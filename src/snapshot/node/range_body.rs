//! The body of one response with a part of the file.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::snapshot::known_bytes::KnownBytes;

/// The body of one response.
#[derive(Debug)]
pub(super) struct RangeBody {
    known: KnownBytes,
    /// The length that the response announced; `None` for one that ignores ranges.
    expected: Option<u64>,
    size: Option<u64>,
    received: u64,
    offset_before: u64,
}

impl RangeBody {
    /// Expects the bytes from `start` on, of which those before `offset` are known.
    pub(super) fn new(start: u64, end: Option<u64>, size: Option<u64>, offset: u64) -> Self {
        RangeBody {
            known: KnownBytes::new(offset - start),
            expected: end.map(|end| end - start),
            size,
            received: 0,
            offset_before: offset,
        }
    }

    /// Returns the bytes of `bytes` that are new.
    pub(super) fn accept(&mut self, bytes: Bytes) -> Result<Bytes> {
        self.received += bytes.len() as u64;
        if self.expected.is_some_and(|expected| self.received > expected) {
            return Err(Error::failed("more bytes arrived than were announced, so the copy cannot be trusted"));
        }
        Ok(self.known.strip(bytes))
    }

    /// Returns why the body is incomplete at its end.
    pub(super) fn incomplete(&self) -> Option<&'static str> {
        if self.expected.is_some_and(|expected| self.received < expected) {
            Some("the connection ended early")
        } else if !self.known.all_seen() {
            Some("the response ended before the offset that was reached")
        } else {
            None
        }
    }

    /// Returns whether a proxy ignored the range.
    pub(super) fn ignores_ranges(&self) -> bool {
        self.expected.is_none()
    }

    /// Returns the size of the file. A response that does not say it is the whole file.
    pub(super) fn file_size(&self) -> u64 {
        self.size.unwrap_or(self.received)
    }

    /// Returns the offset before this response.
    pub(super) fn offset_before(&self) -> u64 {
        self.offset_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is new in a body of `length` bytes that come in pieces of 1000, and what is incomplete at its end.
    fn read(mut body: RangeBody, length: usize) -> Result<(usize, Option<&'static str>)> {
        let mut new = 0;
        for piece in vec![0; length].chunks(1000) {
            new += body.accept(Bytes::copy_from_slice(piece))?.len();
        }
        Ok((new, body.incomplete()))
    }

    #[test]
    fn a_range_is_complete_with_its_announced_length_and_not_before() {
        let range = || RangeBody::new(5000, Some(9000), Some(90_000), 5000);
        assert_eq!(read(range(), 4000), Ok((4000, None)));
        assert_eq!(read(range(), 3999), Ok((3999, Some("the connection ended early"))));
        assert!(read(range(), 4001).expect_err("too many").message().starts_with("more bytes arrived"));
    }

    #[test]
    fn a_response_that_ignores_ranges_brings_what_is_behind_the_offset() {
        let whole = || RangeBody::new(0, None, None, 5000);
        assert_eq!(read(whole(), 8000), Ok((3000, None)));
        assert_eq!(read(whole(), 5000), Ok((0, None)));
        let (new, problem) = read(whole(), 4999).expect("nothing was announced");
        assert!(new == 0 && problem.is_some_and(|problem| problem.contains("before the offset")));
    }
}
