//! The versions that etcd stores: github.com/coreos/go-semver.

/// Returns `true` for a semantic version like `3.6.0` or `3.7.0-rc.1`, as go-semver parses it.
pub(super) fn is_version(text: &str) -> bool {
    let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (text, pre_release) = text.split_once('-').unwrap_or((text, ""));
    let is_identifier = |text: &str| {
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        text.is_empty() || text.split('.').all(is_part)
    };
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<i64>().is_ok();
    text.split('.').count() == 3
        && text.split('.').all(is_number)
        && is_identifier(pre_release)
        && is_identifier(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_go_semver() {
        for version in ["3.5.0", "3.7.0-rc.1", "3.6.0+metadata", "3.06.0"] {
            assert!(is_version(version), "{version}");
        }
        for other in ["", "3.5", "v.5.0", "3..0", "3.5.0.1", "3.5.x", "3.5.0-rc..1", "3.5.99999999999999999999"] {
            assert!(!is_version(other), "{other}");
        }
    }
}
