//! What etcdctl says when it fails, cut down to the sentence that matters.

use serde_json::Value;

/// The longest sentence that is passed on.
const MOST: usize = 500;

/// The last error in etcdctl's output, which mixes JSON log lines and plain ones; empty when it says nothing.
pub fn etcdctl_error(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let plain = lines.iter().rev().find(|line| !line.starts_with('{') && **line != "null");
    let logged = lines.iter().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = line["error"].as_str().or_else(|| line["msg"].as_str().filter(|_| line["level"] != "info"))?;
        Some(text.to_owned())
    });
    let sentence = match (plain, logged) {
        // "context deadline exceeded" alone hides the cause, which is in the log line before it.
        (Some(plain), Some(logged)) if plain.contains("deadline exceeded") => format!("{plain}: {logged}"),
        (Some(plain), _) => (*plain).to_owned(),
        (None, Some(logged)) => logged,
        (None, None) => String::new(),
    };
    let sentence = sentence.strip_prefix("Error: ").unwrap_or(&sentence);
    sentence.chars().take(MOST).collect()
}

/// The sentence is about certificates, so another pair may work.
pub fn is_tls(sentence: &str) -> bool {
    ["tls:", "x509:", "certificate", "authentication handshake"].iter().any(|word| sentence.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_sentence_wins() {
        let output = "{\"level\":\"info\",\"msg\":\"created temporary db file\"}\nError: open /pki/server.key: permission denied\n";
        assert_eq!(etcdctl_error(output), "open /pki/server.key: permission denied");
    }

    #[test]
    fn a_deadline_comes_with_its_cause() {
        let output = "{\"level\":\"warn\",\"msg\":\"retrying\",\"error\":\"remote error: tls: bad certificate\"}\nFailed to get the status (context deadline exceeded)\nnull\n";
        let sentence = etcdctl_error(output);
        assert!(sentence.contains("bad certificate"), "{sentence}");
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
