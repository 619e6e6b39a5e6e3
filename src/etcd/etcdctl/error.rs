//! The error in etcdctl's output.

use serde_json::Value;

/// The most characters of an error.
const MAX_CHARS: usize = 500;

/// Returns the last error in etcdctl's output, which mixes JSON log lines and plain lines; empty without an error.
pub fn etcdctl_error(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let plain_line = lines.iter().rev().find(|line| !line.starts_with('{') && **line != "null");
    let logged = lines.iter().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = line["error"].as_str().or_else(|| line["msg"].as_str().filter(|_| line["level"] != "info"))?;
        Some(text.to_owned())
    });
    let error = match (plain_line, logged) {
        // The cause of "context deadline exceeded" is in the log line before it.
        (Some(plain), Some(logged)) if plain.contains("deadline exceeded") => format!("{plain}: {logged}"),
        (Some(plain), _) => (*plain).to_owned(),
        (None, Some(logged)) => logged,
        (None, None) => String::new(),
    };
    let error = error.strip_prefix("Error: ").unwrap_or(&error);
    error.chars().take(MAX_CHARS).collect()
}

/// Reports whether the error is about certificates, so that other ones may work.
pub fn is_tls(error: &str) -> bool {
    ["tls:", "x509:", "certificate", "authentication handshake"].iter().any(|word| error.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_comes_before_log_lines() {
        let output = "{\"level\":\"info\",\"msg\":\"created temporary db file\"}\nError: open /pki/server.key: permission denied\n";
        assert_eq!(etcdctl_error(output), "open /pki/server.key: permission denied");
    }

    #[test]
    fn a_deadline_comes_with_its_cause() {
        let output = "{\"level\":\"warn\",\"msg\":\"retrying\",\"error\":\"remote error: tls: bad certificate\"}\nFailed to get the status (context deadline exceeded)\nnull\n";
        let error = etcdctl_error(output);
        assert!(error.contains("bad certificate"), "{error}");
    }

    #[test]
    fn a_log_line_alone_is_read() {
        assert_eq!(
            etcdctl_error("{\"level\":\"fatal\",\"msg\":\"x\",\"error\":\"no space left on device\"}"),
            "no space left on device"
        );
        assert_eq!(etcdctl_error("{\"level\":\"info\",\"msg\":\"fetching snapshot\"}"), "");
    }
}
