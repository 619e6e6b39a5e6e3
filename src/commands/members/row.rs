//! One member as people and scripts see it: the same rows for `members`, the picker and the talk.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::etcd::{Expiry, Member, MemberStatus, Silence};
use crate::ui::{SelectItem, decimal_bytes};

/// etcd's quota where nothing else is set (etcd `server/storage/quota.go`, DefaultQuotaBytes).
const DEFAULT_QUOTA: u64 = 2 << 30;

/// A member; what could not be learned is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// `namespace/pod`.
    pub pod: String,
    pub node: String,
    /// Name in etcd.
    pub name: String,
    /// Member ID in hex, as etcdctl prints it.
    pub id: Option<String>,
    pub role: Option<&'static str>,
    pub version: Option<String>,
    pub db_size_bytes: Option<u64>,
    pub db_in_use_bytes: Option<u64>,
    /// Size at which etcd refuses writes: as the member tells, else as its pod's flags set it.
    pub quota_bytes: Option<u64>,
    pub revision: Option<u64>,
    pub raft_index: Option<u64>,
    pub alarms: Option<Vec<String>>,
    /// It serves, knows a leader and has no alarm.
    pub healthy: Option<bool>,
    /// When the certificate ends with which it serves clients, RFC 3339.
    pub certificate_expiry: Option<String>,
    /// Raft entries that it has still to apply, compared with the most advanced member.
    #[serde(skip)]
    pub lag: Option<u64>,
    #[serde(skip)]
    state: String,
    #[serde(skip)]
    has_no_certificate: bool,
}

impl MemberRow {
    /// `newest` is the highest raft index of all members.
    pub fn new(
        member: &Member,
        status: Option<&MemberStatus>,
        silence: Option<&Silence>,
        newest: u64,
        expiry: Option<&Expiry>,
    ) -> Self {
        let healthy = match (status, silence) {
            (Some(status), _) => Some(status.is_healthy()),
            (None, Some(Silence::Down(_))) => Some(false),
            (None, _) => None,
        };
        let state = match (status, silence) {
            (Some(status), _) if !status.alarms.is_empty() => status.alarms.join(","),
            (Some(status), _) if !status.has_leader => "no leader".to_owned(),
            (Some(_), _) => "healthy".to_owned(),
            (None, _) if !member.is_ready() => "not ready".to_owned(),
            (None, Some(Silence::Down(_))) => "down".to_owned(),
            (None, _) => "status unknown".to_owned(),
        };
        MemberRow {
            pod: member.pod_path(),
            node: member.node.clone(),
            name: member.name.clone(),
            id: status.map(|status| format!("{:x}", status.id)),
            role: status.map(MemberStatus::role),
            version: status.map(|status| status.version.clone()),
            db_size_bytes: status.map(|status| status.db_size),
            db_in_use_bytes: status.and_then(|status| status.db_in_use),
            quota_bytes: status.and_then(|status| status.quota).or_else(|| quota_of(member)),
            revision: status.map(|status| status.revision),
            raft_index: status.map(|status| status.raft_index),
            alarms: status.map(|status| status.alarms.clone()),
            healthy,
            certificate_expiry: match expiry {
                Some(Expiry::At(time)) => Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                _ => None,
            },
            has_no_certificate: expiry == Some(&Expiry::None),
            lag: status.map(|status| newest.saturating_sub(status.applied)),
            state,
        }
    }

    /// The pod's name alone.
    pub fn pod_name(&self) -> &str {
        self.pod.rsplit('/').next().unwrap_or_default()
    }

    /// What the picker shows: pod, node, role, health, version, size, revision.
    pub fn to_pick(&self, recommended: bool) -> SelectItem {
        let mut cells = vec![self.pod_name().to_owned(), self.node.clone()];
        cells.extend(self.role.map(str::to_owned));
        cells.push(self.state.clone());
        cells.extend(self.version.clone());
        cells.extend(self.db_size_bytes.map(decimal_bytes));
        cells.extend(self.revision.map(|revision| format!("revision {revision}")));
        SelectItem { cells, recommended }
    }

    /// The table's headers.
    pub fn headers(wide: bool) -> Vec<&'static str> {
        let mut headers = vec!["POD", "NODE", "ID", "ROLE", "VERSION", "SIZE", "IN-USE", "QUOTA", "REVISION"];
        headers.extend(["LAG", "ALARMS", "HEALTHY", "CERT-EXPIRY"]);
        if wide {
            headers.extend(["NAME", "RAFT-INDEX", "EXPIRY-DATE"]);
        }
        headers
    }

    /// The table's cells, in the order of the headers.
    pub fn cells(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "<unknown>".to_owned());
        let bytes = |figure: Option<u64>| or_unknown(figure.map(decimal_bytes).map(|text| text.replace(' ', "")));
        let figure = |figure: Option<u64>| or_unknown(figure.map(|figure| figure.to_string()));
        let alarms = self.alarms.as_ref().map(|alarms| match alarms.as_slice() {
            [] => "<none>".to_owned(),
            alarms => alarms.join(","),
        });
        let certificate = |text| match self.has_no_certificate {
            true => "<none>".to_owned(),
            false => or_unknown(text),
        };
        let left = self.certificate_expiry.as_ref().and_then(|expiry| expiry.parse::<Timestamp>().ok());
        let mut cells = vec![
            self.pod_name().to_owned(),
            if self.node.is_empty() { "<none>".to_owned() } else { self.node.clone() },
            or_unknown(self.id.clone()),
            or_unknown(self.role.map(str::to_owned)),
            or_unknown(self.version.clone()),
            bytes(self.db_size_bytes),
            bytes(self.db_in_use_bytes),
            bytes(self.quota_bytes),
            figure(self.revision),
            figure(self.lag),
            or_unknown(alarms),
            or_unknown(self.healthy.map(|healthy| healthy.to_string())),
            certificate(left.map(|expiry| remaining(expiry, now))),
        ];
        if wide {
            cells.extend([self.name.clone(), figure(self.raft_index), certificate(self.certificate_expiry.clone())]);
        }
        cells
    }
}

/// `--quota-backend-bytes` of the pod; 0 or nothing is etcd's default, less than 0 is no quota at all. Unknown where
/// the settings are in a file that could not be read.
fn quota_of(member: &Member) -> Option<u64> {
    match member.settings.get("quota-backend-bytes").map(str::parse::<i64>) {
        Some(Ok(0)) => Some(DEFAULT_QUOTA),
        Some(quota) => quota.ok().and_then(|quota| u64::try_from(quota).ok()),
        None => member.settings.get("config-file").is_none().then_some(DEFAULT_QUOTA),
    }
}

/// How long something is still valid, as kubectl writes ages: `364d`, `30h`, `59m`.
fn remaining(expiry: Timestamp, now: Timestamp) -> String {
    match expiry.as_second() - now.as_second() {
        seconds if seconds <= 0 => "expired".to_owned(),
        seconds if seconds < 2 * 3600 => format!("{}m", seconds / 60),
        seconds if seconds < 48 * 3600 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::member::tests::pod;

    fn member(command: &[&str]) -> Member {
        Member::from_pod(pod("etcd-cp1", command, true)).expect("it runs etcd")
    }

    #[test]
    fn the_quota_is_the_members_word_then_the_flags_then_etcds_default() {
        let told = MemberStatus { quota: Some(7), ..MemberStatus::default() };
        let row = |command: &[&str], status| MemberRow::new(&member(command), status, None, 0, None).quota_bytes;
        assert_eq!(row(&["etcd", "--quota-backend-bytes=9"], Some(&told)), Some(7));
        assert_eq!(row(&["etcd", "--quota-backend-bytes=9"], None), Some(9));
        assert_eq!(row(&["etcd", "--quota-backend-bytes=-1"], None), None);
        assert_eq!(row(&["etcd"], None), Some(2 << 30));
        assert_eq!(row(&["etcd", "--config-file=/x"], None), None);
    }

    #[test]
    fn a_member_that_could_not_be_asked_is_not_called_unhealthy() {
        let member = member(&["etcd"]);
        let row = |silence: Silence| MemberRow::new(&member, None, Some(&silence), 0, None).healthy;
        assert_eq!(row(Silence::Down("refused".into())), Some(false));
        assert_eq!(row(Silence::Unknown("forbidden".into())), None);
    }

    #[test]
    fn the_time_left_reads_as_kubectls_ages() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        let left = |seconds: i64| remaining(at(1_000_000 + seconds), at(1_000_000));
        assert_eq!([left(-5), left(3599), left(86_400), left(31_535_999)], ["expired", "59m", "24h", "364d"]);
    }

    #[test]
    fn a_row_has_a_cell_for_each_header() {
        let row = MemberRow::new(&member(&["etcd"]), None, None, 0, None);
        for wide in [false, true] {
            assert_eq!(row.cells(wide, Timestamp::now()).len(), MemberRow::headers(wide).len());
        }
    }
}
