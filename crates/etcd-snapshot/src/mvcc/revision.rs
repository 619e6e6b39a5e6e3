//! Revisions as keys of the bucket `key`: etcd `server/storage/mvcc/revision.go`.

use crate::bytes::be_u64;

/// The length of a revision without the mark of a tombstone: `revBytesLen`.
const REVISION_SIZE: usize = 8 + 1 + 8;

/// A revision and whether it deletes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) main: i64,
    pub(crate) sub: i64,
    pub(crate) tombstone: bool,
}

impl Revision {
    /// Parses a key of the bucket `key`, or a revision in the bucket `meta`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (bytes, tombstone) = match bytes {
            [bytes @ .., b't'] if bytes.len() == REVISION_SIZE => (bytes, true),
            bytes => (bytes, false),
        };
        if bytes.len() != REVISION_SIZE || bytes[8] != b'_' {
            return None;
        }
        let main = be_u64(&bytes[..8])?.cast_signed();
        let sub = be_u64(&bytes[9..])?.cast_signed();
        (main >= 0 && sub >= 0).then_some(Revision { main, sub, tombstone })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::key;
    use super::*;

    #[test]
    fn only_revisions_as_etcd_writes_them_are_parsed() {
        let revision = Revision { main: 7, sub: 2, tombstone: true };
        assert_eq!(Revision::parse(&key(7, 2, true)), Some(revision));
        assert_eq!(Revision::parse(&key(7, 2, false)[..16]), None);
        assert_eq!(Revision::parse(&key(1 << 63, 0, false)), None);
        let mut other = key(7, 2, true);
        other[17] = b'x';
        assert_eq!(Revision::parse(&other), None, "a tombstone is marked with t");
    }
}
