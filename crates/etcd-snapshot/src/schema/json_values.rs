//! The values that etcd stores as JSON.
//!
//! Sources: etcd `server/etcdserver/api/membership/member.go`, `server/etcdserver/version/downgrade.go` and raft
//! `raftpb/raft.pb.go` (`ConfState`). etcd panics at its start if one of them cannot be decoded.

use super::version::is_version;
use crate::json::{Json, Kind};

/// Returns the value of the last field that Go would decode into `name`.
fn field<'a>(fields: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    fields.iter().rfind(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Returns the fields of an object, if all known ones have their type.
fn decode(value: &[u8], known: &[(&str, Kind)]) -> Option<Vec<(String, Json)>> {
    let Json::Object(fields) = Json::parse(value)? else { return None };
    let kind = |name: &str| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind);
    let fits = fields.iter().all(|(name, value)| kind(name).is_none_or(|kind| value.fits(kind)));
    fits.then_some(fields)
}

/// Returns `true` for the `membership.Member` with that ID.
pub(super) fn is_member(value: &[u8], id: u64) -> bool {
    let known = [
        ("id", Kind::Id),
        ("peerURLs", Kind::Texts),
        ("isLearner", Kind::Bool),
        ("name", Kind::Text),
        ("clientURLs", Kind::Texts),
    ];
    decode(value, &known).is_some_and(|fields| field(&fields, "id") == Some(&Json::Number(Some(id))))
}

/// Returns `true` for a `version.DowngradeInfo`. Its version is decoded only while a downgrade is enabled.
pub(super) fn is_downgrade(value: &[u8]) -> bool {
    decode(value, &[("target-version", Kind::Text), ("enabled", Kind::Bool)]).is_some_and(|fields| {
        let version = field(&fields, "target-version");
        field(&fields, "enabled") != Some(&Json::Bool(true))
            || matches!(version, Some(Json::Text(version)) if is_version(version))
    })
}

/// Returns `true` for a `raftpb.ConfState`.
pub(super) fn is_conf_state(value: &[u8]) -> bool {
    let known = [
        ("voters", Kind::Ids),
        ("learners", Kind::Ids),
        ("voters_outgoing", Kind::Ids),
        ("learners_next", Kind::Ids),
        ("auto_leave", Kind::Bool),
    ];
    decode(value, &known).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_decodes_is_accepted_and_nothing_else() {
        assert!(is_member(br#"{"id":77,"peerURLs":["http://a:2380"],"name":"a","clientURLs":null}"#, 77));
        for other in
            [&br#"{"id":78,"peerURLs":[]}"#[..], br#"{"peerURLs":[]}"#, br#"{"id":77,"name":5}"#, b"{id}", b"[]"]
        {
            assert!(!is_member(other, 77), "{}", other.escape_ascii());
        }
        assert!(is_downgrade(br#"{"target-version":"3.5.0","enabled":true}"#));
        assert!(is_downgrade(br#"{"target-version":"","enabled":false}"#));
        for other in [&br#"{"target-version":"3.5","enabled":true}"#[..], br#"{"enabled":true}"#, br#"{"enabled":1}"#] {
            assert!(!is_downgrade(other), "{}", other.escape_ascii());
        }
        assert!(is_conf_state(br#"{"voters":[1,18446744073709551615],"auto_leave":false}"#));
        assert!(!is_conf_state(br#"{"voters":[-1]}"#));
        assert!(!is_conf_state(br#"{"voters":[1}"#));
    }
}
