//! As much of JSON as is needed to decode what etcd stores in it, as strictly as etcd does.
//!
//! Rules: Go `encoding/json`: unknown fields are skipped, `null` fits every type, names may differ in case.

/// Objects in objects: Go allows more, etcd writes two levels.
const MAX_DEPTH: usize = 32;

/// etcd writes some hundred bytes.
const MAX_LENGTH: usize = 1 << 20;

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number that fits, and one that does not.
    Number(Option<u64>),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a document; `None` if it is not one, or if it is larger than any of etcd's.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_LENGTH {
            return None;
        }
        let mut parser = Parser { rest: str::from_utf8(bytes).ok()? };
        let value = parser.value(0)?;
        parser.skip_space();
        parser.rest.is_empty().then_some(value)
    }

    /// Returns `true` if Go decodes it into a field of this type.
    pub(crate) fn fits(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Json::Null, _)
            | (Json::Bool(_), Kind::Bool)
            | (Json::Number(Some(_)), Kind::Id)
            | (Json::Text(_), Kind::Text) => true,
            (Json::List(items), Kind::Ids) => items.iter().all(|item| item.fits(Kind::Id)),
            (Json::List(items), Kind::Texts) => items.iter().all(|item| item.fits(Kind::Text)),
            _ => false,
        }
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Text,
    Texts,
    /// `uint64`.
    Id,
    Ids,
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_space();
        match self.rest.as_bytes().first()? {
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => self.items(('[', ']'), |parser| parser.value(depth + 1)).map(Json::List),
            b'{' => self
                .items(('{', '}'), |parser| {
                    let name = parser.text()?;
                    parser.skip_space();
                    parser.take(":")?;
                    Some((name, parser.value(depth + 1)?))
                })
                .map(Json::Object),
            _ => self.number(),
        }
    }

    fn items<T>(&mut self, (open, close): (char, char), item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.rest = self.rest.strip_prefix(open)?;
        self.skip_space();
        while !self.rest.starts_with(close) {
            if !items.is_empty() {
                self.take(",")?;
                self.skip_space();
            }
            items.push(item(self)?);
            self.skip_space();
        }
        self.rest = self.rest.strip_prefix(close)?;
        Some(items)
    }

    fn text(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let mut chars = self.rest.chars();
            let next = chars.next()?;
            self.rest = chars.as_str();
            match next {
                '"' => return Some(text),
                '\\' => text.push(self.escaped()?),
                '\0'..='\x1f' => return None,
                other => text.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(match next {
            '"' | '\\' | '/' => next,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (digits, rest) = self.rest.split_at_checked(4)?;
                self.rest = rest;
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
                // Half of a pair: Go replaces it, too, if it is alone. No name in etcd has one.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<Json> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        let has_zeros = number.len() > 1 && number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<f64>().ok().filter(|_| !has_zeros && !number.starts_with('+'))?;
        Some(Json::Number(number.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_writes_is_parsed() {
        let member =
            br#"{"id":10276657743932975437,"peerURLs":["http://a:2380"],"name":"a \"b\" \u0041\/","isLearner":true}"#;
        let value = Json::parse(member).expect("it is JSON");
        let expected = [
            ("id", Json::Number(Some(10_276_657_743_932_975_437))),
            ("peerURLs", Json::List(vec![Json::Text("http://a:2380".to_owned())])),
            ("name", Json::Text("a \"b\" A/".to_owned())),
            ("isLearner", Json::Bool(true)),
        ];
        assert_eq!(value, Json::Object(expected.map(|(name, value)| (name.to_owned(), value)).to_vec()));
        for text in ["{}", " { } ", "[1, 2]", "null", "{\"a\":[{}],\"b\":-1.5e3}"] {
            assert!(Json::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "{",
            "{}}",
            "{\"a\"}",
            "{\"a\":}",
            "{,}",
            "[1 2]",
            "[,1]",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\u00g0\"",
            "01",
            "1.2.3",
            "+1",
            "\"\n\"",
        ] {
            assert_eq!(Json::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Json::parse(b"\"\xff\""), None);
        assert_eq!(Json::parse("[".repeat(100_000).as_bytes()), None, "no stack is exhausted");
    }

    #[test]
    fn values_fit_the_types_of_their_fields() {
        let value = |text: &str| Json::parse(text.as_bytes()).expect("it is JSON");
        for (text, kinds) in [
            ("null", &[Kind::Bool, Kind::Text, Kind::Texts, Kind::Id, Kind::Ids][..]),
            ("true", &[Kind::Bool]),
            ("\"a\"", &[Kind::Text]),
            ("[]", &[Kind::Texts, Kind::Ids]),
            ("[\"a\"]", &[Kind::Texts]),
            ("7", &[Kind::Id]),
            ("[7]", &[Kind::Ids]),
            ("-7", &[]),
            ("18446744073709551616", &[]),
            ("{}", &[]),
        ] {
            let fitting = [Kind::Bool, Kind::Text, Kind::Texts, Kind::Id, Kind::Ids];
            let fitting: Vec<Kind> = fitting.into_iter().filter(|kind| value(text).fits(*kind)).collect();
            assert_eq!(fitting, kinds, "{text}");
        }
    }
}
