//! The tools that print a file of the container, from an offset on where they can.

/// Ends the process that prints `$1`, if there is one. The kubelet does not end a command whose connection is gone: one
/// that prints then waits without end, and holds the space of a deleted file.
pub const END_READER: &str = r#"umask 077; p=
[ ! -r "$1.pid" ] || read -r p < "$1.pid"
[ -z "$p" ] || kill "$p" 2>/dev/null"#;

/// A tool that prints a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Tail,
    Dd,
    /// From the start only.
    Cat,
    /// From the start only.
    Cp,
}

/// Block size of `dd`.
const BLOCK: u64 = 1 << 16;

impl Reader {
    /// Returns the script that prints `$1`, from the position `$2` on.
    pub fn script(self) -> String {
        let script = match self {
            Reader::Tail => r#"exec tail -c "+$2" "$1""#,
            Reader::Dd => r#"exec dd if="$1" bs=65536 skip="$2""#,
            Reader::Cat => r#"exec cat "$1""#,
            Reader::Cp => r#"exec cp "$1" /dev/stdout"#,
        };
        format!("{END_READER}\necho $$ > \"$1.pid\"\n{script}")
    }

    /// Returns `$2` of the script to read from `offset` on, and how many bytes it prints before that offset.
    pub fn resume_at(self, offset: u64) -> (String, u64) {
        match self {
            Reader::Tail => ((offset + 1).to_string(), 0),
            Reader::Dd => ((offset / BLOCK).to_string(), offset % BLOCK),
            Reader::Cat | Reader::Cp => (String::new(), offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_starts_at_the_offset() {
        assert_eq!(Reader::Tail.resume_at(0), ("1".to_owned(), 0));
        assert_eq!(Reader::Tail.resume_at(100), ("101".to_owned(), 0));
        assert_eq!(Reader::Dd.resume_at(65_536 * 3 + 7), ("3".to_owned(), 7));
        assert_eq!(Reader::Cat.resume_at(9).1, 9);
    }
}
