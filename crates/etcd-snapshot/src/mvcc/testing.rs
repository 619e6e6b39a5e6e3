//! Entries of the bucket `key` as etcd writes them, for tests.

/// A revision.
pub(crate) fn key(main: u64, sub: u64, tombstone: bool) -> Vec<u8> {
    let mut key = main.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend(sub.to_be_bytes());
    key.extend(tombstone.then_some(b't'));
    key
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut varint = Vec::new();
    while number >= 0x80 {
        varint.push(number as u8 | 0x80);
        number >>= 7;
    }
    varint.push(number as u8);
    varint
}

/// A `mvccpb.KeyValue` of key `name`. Of its value only the beginning is there: all of it has `length` bytes, of which the
/// caller adds the rest.
pub(crate) fn key_value(name: &str, create: u64, version: u64, modified: u64, length: usize) -> Vec<u8> {
    let mut bytes = [&[0x0a][..], &varint(name.len() as u64), name.as_bytes()].concat();
    for (field, number) in [(0x10, create), (0x18, modified), (0x20, version)] {
        bytes.push(field);
        bytes.extend(varint(number));
    }
    // The length of the value is part of the message, so its own length is found by trying.
    let rest = length.saturating_sub(bytes.len() + 1);
    let size = (1..=10).find(|size| varint(rest.saturating_sub(*size) as u64).len() == *size).unwrap_or(1);
    if rest > size {
        bytes.push(0x2a);
        bytes.extend(varint((rest - size) as u64));
    }
    bytes
}
