//! Parts that all responses share in etcdctl's JSON (`-w json`).

use serde::{Deserialize, Deserializer};

/// The header of a response.
#[derive(Debug, Deserialize)]
pub struct EtcdctlHeader {
    #[serde(default, deserialize_with = "parse_number")]
    pub member_id: u64,
    #[serde(default, deserialize_with = "parse_number")]
    pub revision: u64,
}

/// Parses a 64-bit number, which etcdctl writes as a number and protobuf's own JSON as text.
pub fn parse_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(u64),
        Text(String),
    }
    Ok(match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(number) => number,
        NumberOrText::Text(text) => text.parse().unwrap_or_default(),
    })
}
