//! What a failure of etcdctl means for the next try.

/// The kinds of failure that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A key or certificate that the job's user may not read.
    PermissionDenied,
    /// The file system of the node is full.
    NoSpace,
    /// Anything else: another certificate may help, or nothing.
    Other,
}

pub(super) fn cause(sentence: &str) -> Cause {
    if sentence.contains("permission denied") && !sentence.contains("/snapshot") {
        Cause::PermissionDenied
    } else if sentence.contains("no space left") {
        Cause::NoSpace
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_that_is_not_readable_is_a_matter_of_permissions() {
        assert_eq!(cause("open /pki/server.key: permission denied"), Cause::PermissionDenied);
        assert_eq!(cause("open /snapshot/snapshot.db.part: permission denied"), Cause::Other);
        assert_eq!(cause("write: no space left on device"), Cause::NoSpace);
    }
}
