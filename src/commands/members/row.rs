//! One member as a row, for `members`, prompts and status lines.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::etcd::{Expiry, Member, MemberProbe, MemberSet, MemberState, MemberStatus};
use crate::ui::SelectItem;
use crate::util::byte_size::decimal_bytes;
use crate::util::rfc3339::format_time;

/// etcd's default quota (etcd `server/storage/quota.go`, DefaultQuotaBytes).
const DEFAULT_QUOTA: u64 = 2 << 30;

/// The document of a member. A field whose value is unknown is null.
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
    /// Size at which etcd refuses writes: from the member's status, otherwise from its pod's flags.
    pub quota_bytes: Option<u64>,
    pub revision: Option<u64>,
    pub raft_index: Option<u64>,
    pub alarms: Option<Vec<String>>,
    /// The member answers, knows a leader and has no alarm.
    pub healthy: Option<bool>,
    /// When the server certificate expires, RFC 3339.
    pub certificate_expiry: Option<String>,
    /// Raft entries that the most advanced member has and this one has not applied.
    #[serde(skip)]
    pub lag: Option<u64>,
    #[serde(skip)]
    health: String,
    #[serde(skip)]
    has_no_certificate: bool,
}

/// Returns all members as rows.
pub fn member_rows(set: &MemberSet) -> Vec<MemberRow> {
    set.members.iter().map(|state| MemberRow::from_set(set, state)).collect()
}

impl MemberRow {
    /// Creates the row of a member of `set`.
    pub fn from_set(set: &MemberSet, state: &MemberState) -> Self {
        MemberRow::new(state, set.newest_raft_index())
    }

    /// Creates the row of a member. `newest` is the highest raft index of all members.
    fn new(state: &MemberState, newest: u64) -> Self {
        let MemberState { member, probe, certificate_expiry, .. } = state;
        let status = probe.status();
        let healthy = match probe {
            MemberProbe::Ok(status) => Some(status.is_healthy()),
            MemberProbe::Down(_) => Some(false),
            MemberProbe::Unknown(_) => None,
        };
        let health = match probe {
            MemberProbe::Ok(status) if !status.alarms.is_empty() => status.alarms.join(","),
            MemberProbe::Ok(status) if !status.has_leader => "no leader".to_owned(),
            MemberProbe::Ok(_) => "healthy".to_owned(),
            _ if !member.is_ready() => "not ready".to_owned(),
            MemberProbe::Down(_) => "down".to_owned(),
            MemberProbe::Unknown(_) => "status unknown".to_owned(),
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
            quota_bytes: status.and_then(|status| status.quota).or_else(|| configured_quota(member)),
            revision: status.map(|status| status.revision),
            raft_index: status.map(|status| status.raft_index),
            alarms: status.map(|status| status.alarms.clone()),
            healthy,
            certificate_expiry: match certificate_expiry {
                Some(Expiry::At(time)) => Some(format_time(*time)),
                _ => None,
            },
            has_no_certificate: *certificate_expiry == Some(Expiry::None),
            lag: status.map(|status| newest.saturating_sub(status.applied)),
            health,
        }
    }

    /// Returns the name of the pod without its namespace.
    pub fn pod_name(&self) -> &str {
        self.pod.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the line of a prompt: pod, node, role, health, version, size, revision.
    pub fn to_item(&self, recommended: bool) -> SelectItem {
        let mut cells = vec![self.pod_name().to_owned(), self.node.clone()];
        cells.extend(self.role.map(str::to_owned));
        cells.push(self.health.clone());
        cells.extend(self.version.clone());
        cells.extend(self.db_size_bytes.map(decimal_bytes));
        cells.extend(self.revision.map(|revision| format!("revision {revision}")));
        SelectItem { cells, recommended }
    }

    /// Returns the same in one line.
    pub fn summary(&self) -> String {
        self.to_item(false).cells.join("  ")
    }

    /// Returns the headers of the table.
    pub fn headers(wide: bool) -> Vec<&'static str> {
        let mut headers = vec!["POD", "NODE", "ID", "ROLE", "VERSION", "SIZE", "IN-USE", "QUOTA", "REVISION"];
        headers.extend(["LAG", "ALARMS", "HEALTHY", "CERT-EXPIRY"]);
        if wide {
            headers.extend(["NAME", "RAFT-INDEX", "EXPIRY-DATE"]);
        }
        headers
    }

    /// Returns the cells of the table, in the order of the headers.
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
            certificate(left.map(|expiry| format_remaining(expiry, now))),
        ];
        if wide {
            cells.extend([self.name.clone(), figure(self.raft_index), certificate(self.certificate_expiry.clone())]);
        }
        cells
    }
}

/// Returns `--quota-backend-bytes` of the pod. 0 or no flag is etcd's default, a negative number disables the quota.
/// `None` if the settings are in a file that could not be read.
fn configured_quota(member: &Member) -> Option<u64> {
    match member.config.get("quota-backend-bytes").map(str::parse::<i64>) {
        Some(Ok(0)) => Some(DEFAULT_QUOTA),
        Some(quota) => quota.ok().and_then(|quota| u64::try_from(quota).ok()),
        None => member.config.get("config-file").is_none().then_some(DEFAULT_QUOTA),
    }
}

/// Formats the time until `expiry` as kubectl formats ages: `364d`, `30h`, `59m`.
fn format_remaining(expiry: Timestamp, now: Timestamp) -> String {
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
    use crate::test_support::pod;

    fn state(command: &[&str], probe: MemberProbe) -> MemberState {
        let member = Member::from_pod(pod("etcd-cp1", command, true)).expect("it runs etcd");
        MemberState { member, probe, credentials: Vec::new(), certificate_expiry: None }
    }

    fn unknown() -> MemberProbe {
        MemberProbe::Unknown("forbidden".to_owned())
    }

    #[test]
    fn the_quota_comes_from_the_status_then_the_flags_then_the_default() {
        let with_quota = || MemberProbe::Ok(MemberStatus { quota: Some(7), ..MemberStatus::default() });
        let row = |command: &[&str], probe| MemberRow::new(&state(command, probe), 0).quota_bytes;
        assert_eq!(row(&["etcd", "--quota-backend-bytes=9"], with_quota()), Some(7));
        assert_eq!(row(&["etcd", "--quota-backend-bytes=9"], unknown()), Some(9));
        assert_eq!(row(&["etcd", "--quota-backend-bytes=-1"], unknown()), None);
        assert_eq!(row(&["etcd"], unknown()), Some(2 << 30));
        assert_eq!(row(&["etcd", "--config-file=/x"], unknown()), None);
    }

    #[test]
    fn the_health_of_a_member_that_could_not_be_asked_is_unknown() {
        let row = |probe: MemberProbe| MemberRow::new(&state(&["etcd"], probe), 0).healthy;
        assert_eq!(row(MemberProbe::Down("refused".into())), Some(false));
        assert_eq!(row(MemberProbe::Unknown("forbidden".into())), None);
    }

    #[test]
    fn the_remaining_time_has_the_format_of_kubectls_ages() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        let left = |seconds: i64| format_remaining(at(1_000_000 + seconds), at(1_000_000));
        assert_eq!([left(-5), left(3599), left(86_400), left(31_535_999)], ["expired", "59m", "24h", "364d"]);
    }

    #[test]
    fn a_row_has_a_cell_for_each_header() {
        let row = MemberRow::new(&state(&["etcd"], unknown()), 0);
        for wide in [false, true] {
            assert_eq!(row.cells(wide, Timestamp::now()).len(), MemberRow::headers(wide).len());
        }
    }
}
