//! Just enough of protobuf's wire format to read the few messages that etcd keeps in its database.
//!
//! ReadAt of the fields: etcd `api/mvccpb/kv.proto` and `server/lease/leasepb/lease.proto`. A field that is not known
//! here is skipped, as etcd's own decoder does.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, one after the other; `None` in place of one that cannot be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // The tenth byte has room for one bit.
            if shift == 63 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        // Field numbers begin with 1.
        (tag >> 3 != 0).then_some((tag >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// `mvccpb.KeyValue` without its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyValue<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

impl<'a> KeyValue<'a> {
    /// Reads the message; `None` when it is none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut message = KeyValue::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(key)) => message.key = key,
                (2, Field::Number(number)) => message.create_revision = number.cast_signed(),
                (3, Field::Number(number)) => message.mod_revision = number.cast_signed(),
                (4, Field::Number(number)) => message.version = number.cast_signed(),
                (5, Field::Bytes(_)) => {}
                (6, Field::Number(number)) => message.lease = number.cast_signed(),
                (1..=6, _) => return None,
                _ => {}
            }
        }
        Some(message)
    }
}

/// The ID in a `leasepb.Lease`; `None` when the bytes are none.
pub(crate) fn lease_id(bytes: &[u8]) -> Option<i64> {
    let mut id = 0;
    for field in Fields(bytes) {
        match field? {
            (1, Field::Number(number)) => id = number.cast_signed(),
            (2 | 3, Field::Number(_)) => {}
            (1..=3, _) => return None,
            _ => {}
        }
    }
    Some(id)
}

/// The bytes are fields of some message.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    Fields(bytes).all(|field| field.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_key_value_are_read() {
        let bytes = b"\x0a\x03/ab\x10\x05\x18\x87\x01\x20\x02\x2a\x04\x00\xff\x80\x01\x30\x63";
        let expected = KeyValue { key: b"/ab", create_revision: 5, mod_revision: 135, version: 2, lease: 99 };
        assert_eq!(KeyValue::parse(bytes), Some(expected));
        assert_eq!(KeyValue::parse(b""), Some(KeyValue::default()));
    }

    #[test]
    fn what_is_cut_or_no_message_is_refused() {
        let bytes = b"\x0a\x03/ab\x10\x05\x18\x87\x01\x20\x02\x2a\x04\x00\xff\x80\x01\x30\x63";
        let whole_fields = [0, 5, 7, 10, 12, 18];
        for length in 0..bytes.len() {
            assert_eq!(KeyValue::parse(&bytes[..length]).is_some(), whole_fields.contains(&length), "{length}");
        }
        assert_eq!(KeyValue::parse(b"\x08\x01"), None, "the key is no number");
        assert_eq!(KeyValue::parse(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), None, "more than 64 bits");
        assert_eq!(KeyValue::parse(b"\x00\x01"), None, "there is no field 0");
    }
}
