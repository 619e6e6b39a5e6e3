//! Escapes text from a cluster for the terminal.
//!
//! Kubernetes restricts pod names, but status messages, events and the responses of proxies are free text. Escape
//! sequences in them could move the cursor, change the title or hide a line.

use std::borrow::Cow;

/// Returns `text` with control characters and direction marks as escapes. Line breaks and tabs become spaces, because a
/// message is one line.
pub(super) fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => clean.push(' '),
            character if is_dangerous(character) => clean.extend(character.escape_unicode()),
            character => clean.push(character),
        }
    }
    Cow::Owned(clean)
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_marks_are_escaped() {
        assert_eq!(sanitize("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(sanitize("a\nb"), "a b");
        assert_eq!(sanitize("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(sanitize("etcd-cp1 – ok"), "etcd-cp1 – ok");
    }
}
