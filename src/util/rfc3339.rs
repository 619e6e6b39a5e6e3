//! Times in documents, as Kubernetes writes them.

use k8s_openapi::jiff::Timestamp;

/// Formats a time in UTC with whole seconds: `2026-01-31T02:00:00Z`.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_whole_seconds() {
        let time: Timestamp = "2026-01-31T03:00:00.9+01:00".parse().expect("a time");
        assert_eq!(format_time(time), "2026-01-31T02:00:00Z");
    }
}
