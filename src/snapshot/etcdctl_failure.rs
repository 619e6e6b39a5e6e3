//! What a message of etcdctl means for the next attempt.

/// Why etcdctl failed, as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The job's user cannot read a key or certificate.
    PermissionDenied,
    /// The file system of the node is full.
    NoSpace,
    /// Another certificate may help, or nothing.
    Other,
}

/// Returns the cause from etcdctl's message. `/snapshot` is where the job writes.
pub(super) fn cause(message: &str) -> Cause {
    if message.contains("permission denied") && !message.contains("/snapshot") {
        Cause::PermissionDenied
    } else if message.contains("no space left") {
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
