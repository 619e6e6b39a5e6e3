//! What a response repeats of an earlier one.

use bytes::Bytes;

/// Bytes at the start of a response that are here already, because not everything can be read from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownBytes(u64);

impl KnownBytes {
    /// Expects `count` known bytes.
    pub(super) fn new(count: u64) -> Self {
        KnownBytes(count)
    }

    /// Returns `bytes` without those that are known.
    pub(super) fn strip(&mut self, mut bytes: Bytes) -> Bytes {
        let known = self.0.min(bytes.len() as u64);
        self.0 -= known;
        bytes.split_off(known as usize)
    }

    /// Returns whether all of them arrived.
    pub(super) fn all_seen(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_dropped_across_pieces() {
        let mut known = KnownBytes::new(5);
        assert!(known.strip(Bytes::from_static(b"abc")).is_empty());
        assert!(!known.all_seen());
        assert_eq!(known.strip(Bytes::from_static(b"defg")), "fg");
        assert!(known.all_seen());
        assert_eq!(known.strip(Bytes::from_static(b"hi")), "hi");
    }
}
