//! As much of protobuf's wire format as is needed to read the messages in etcd's database.
//!
//! Fields: etcd `api/mvccpb/kv.proto`, `server/lease/leasepb/lease.proto`, `api/authpb/auth.proto` and
//! `api/etcdserverpb/rpc.proto`. Unknown fields are skipped, as etcd's own
//! decoder does.

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A number of fixed size, which none of the messages has.
    Fixed,
}

/// Iterates over the fields of a message. A field that cannot be read is `None` and ends the iteration.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // The tenth byte has one bit left.
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
            0 => Field::Varint(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
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
    /// Parses the message; `None` if the bytes are something else.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut message = KeyValue::default();
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(key)) => message.key = key,
                (2, Field::Varint(number)) => message.create_revision = number.cast_signed(),
                (3, Field::Varint(number)) => message.mod_revision = number.cast_signed(),
                (4, Field::Varint(number)) => message.version = number.cast_signed(),
                (5, Field::Bytes(_)) => {}
                (6, Field::Varint(number)) => message.lease = number.cast_signed(),
                (1..=6, _) => return None,
                _ => {}
            }
        }
        Some(message)
    }
}

/// Returns the ID of a `leasepb.Lease`; `None` if the bytes are something else.
pub(crate) fn lease_id(bytes: &[u8]) -> Option<i64> {
    let mut id = 0;
    for field in Fields(bytes) {
        match field? {
            (1, Field::Varint(number)) => id = number.cast_signed(),
            (2 | 3, Field::Varint(_)) => {}
            (1..=3, _) => return None,
            _ => {}
        }
    }
    Some(id)
}

/// The type of a field, as far as the wire format tells it.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint,
    Bytes,
    Message(&'a [Wire<'a>]),
}

/// Returns `true` if the bytes are a message whose fields 1, 2, … have these types. Others are skipped.
fn is_message(bytes: &[u8], wires: &[Wire<'_>]) -> bool {
    Fields(bytes).all(|field| {
        let Some((number, field)) = field else { return false };
        let wire = usize::try_from(number - 1).ok().and_then(|index| wires.get(index));
        match (field, wire) {
            (_, None) | (Field::Varint(_), Some(Wire::Varint)) | (Field::Bytes(_), Some(Wire::Bytes)) => true,
            (Field::Bytes(inner), Some(Wire::Message(wires))) => is_message(inner, wires),
            _ => false,
        }
    })
}

/// `authpb.User`: name, password, roles, and options with one flag.
const USER: &[Wire<'_>] = &[Wire::Bytes, Wire::Bytes, Wire::Bytes, Wire::Message(&[Wire::Varint])];
/// `authpb.Role`: name and permissions, each with its type, key and range end.
const ROLE: &[Wire<'_>] = &[Wire::Bytes, Wire::Message(&[Wire::Varint, Wire::Bytes, Wire::Bytes])];
/// `etcdserverpb.AlarmMember`: the ID of the member and the alarm.
const ALARM: &[Wire<'_>] = &[Wire::Varint, Wire::Varint];

/// Returns the name in an `authpb.User`; `None` if the bytes are something else.
pub(crate) fn user_name(bytes: &[u8]) -> Option<&[u8]> {
    is_message(bytes, USER).then(|| name(bytes))
}

/// Returns the name in an `authpb.Role`; `None` if the bytes are something else.
pub(crate) fn role_name(bytes: &[u8]) -> Option<&[u8]> {
    is_message(bytes, ROLE).then(|| name(bytes))
}

/// Returns `true` for an `etcdserverpb.AlarmMember`.
pub(crate) fn is_alarm(bytes: &[u8]) -> bool {
    is_message(bytes, ALARM)
}

/// Returns the last field 1.
fn name(bytes: &[u8]) -> &[u8] {
    let names = Fields(bytes).flatten().filter_map(|field| match field {
        (1, Field::Bytes(name)) => Some(name),
        _ => None,
    });
    names.last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_VALUE: &[u8] = b"\x0a\x03/ab\x10\x05\x18\x87\x01\x20\x02\x2a\x04\x00\xff\x80\x01\x30\x63";

    #[test]
    fn the_fields_of_a_key_value_are_read() {
        let expected = KeyValue { key: b"/ab", create_revision: 5, mod_revision: 135, version: 2, lease: 99 };
        assert_eq!(KeyValue::parse(KEY_VALUE), Some(expected));
        assert_eq!(KeyValue::parse(b""), Some(KeyValue::default()));
    }

    #[test]
    fn a_cut_or_foreign_message_is_refused() {
        let whole_fields = [0, 5, 7, 10, 12, 18];
        for length in 0..KEY_VALUE.len() {
            assert_eq!(KeyValue::parse(&KEY_VALUE[..length]).is_some(), whole_fields.contains(&length), "{length}");
        }
        assert_eq!(KeyValue::parse(b"\x08\x01"), None, "the key is not a number");
        assert_eq!(KeyValue::parse(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), None, "more than 64 bits");
        assert_eq!(KeyValue::parse(b"\x00\x01"), None, "there is no field 0");
    }

    #[test]
    fn a_lease_has_an_id_and_two_numbers() {
        assert_eq!(lease_id(b"\x08\x07\x10\x3c\x18\x05"), Some(7));
        assert_eq!(lease_id(b"\x0a\x01a"), None);
        assert_eq!(lease_id(b"\x08"), None);
    }

    #[test]
    fn users_roles_and_alarms_have_their_fields() {
        let user = b"\x0a\x04root\x12\x02pw\x1a\x04root\x22\x02\x08\x01";
        assert_eq!(user_name(user), Some(&b"root"[..]));
        assert_eq!(role_name(b"\x0a\x01r\x12\x07\x08\x02\x12\x01a\x1a\x00"), Some(&b"r"[..]));
        assert!(is_alarm(b"\x08\x07\x10\x01"));
        // A field of another type, in the message and in one inside.
        assert_eq!(user_name(b"\x0a\x04root\x10\x02"), None);
        assert_eq!(user_name(b"\x0a\x04root\x22\x02\x0a\x00"), None);
        assert_eq!(role_name(b"\x0a\x01r\x12\x02\x0a\x00"), None);
        assert!(!is_alarm(b"\x0a\x00"));
        // Unknown fields.
        assert_eq!(user_name(b"\x0a\x01a\x38\x01"), Some(&b"a"[..]));
    }
}
