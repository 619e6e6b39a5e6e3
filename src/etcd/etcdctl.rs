//! The command line of etcdctl as it is run in a member's own container.

use std::time::Duration;

use super::Member;
use super::credentials::Credentials;

/// `etcdctl endpoint WORDS…` against the member itself, with JSON as its output; the answer may take `limit`.
///
/// etcdctl refuses a flag whose variable is set as well (etcd `pkg/flags`, verifyEnv), so those are left out.
pub(super) fn endpoint(
    words: &[&str],
    limit: Duration,
    member: &Member,
    credentials: &Credentials,
    endpoint: Option<&str>,
) -> Vec<String> {
    let is_set = |name: &str| member.container.env.iter().flatten().any(|variable| variable.name == name);
    let mut command = vec!["etcdctl".to_owned(), "endpoint".to_owned()];
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command.extend(["-w".to_owned(), "json".to_owned()]);
    let mut flag = |name: &str, value: &str| {
        if !is_set(&format!("ETCDCTL_{}", name.to_ascii_uppercase().replace('-', "_"))) {
            command.push(format!("--{name}={value}"));
        }
    };
    flag("dial-timeout", "3s");
    flag("command-timeout", &format!("{}ms", limit.as_millis()));
    flag("endpoints", endpoint.unwrap_or(&member.local_endpoint()));
    if let Some(cacert) = &credentials.cacert {
        flag("cacert", cacert);
    }
    if let Some((cert, key)) = &credentials.pair {
        flag("cert", cert);
        flag("key", key);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::super::member::tests::pod;
    use super::*;

    #[test]
    fn a_variable_of_etcdctl_replaces_its_flag() {
        let mut pod = pod("etcd-cp1", &["etcd", "--listen-client-urls=https://127.0.0.1:2379"], true);
        pod.spec.as_mut().expect("it has one").containers[0].env = serde_json::from_value(serde_json::json!([
            {"name": "ETCDCTL_CERT", "value": "/c"}, {"name": "ETCDCTL_DIAL_TIMEOUT", "value": "3s"}
        ]))
        .expect("variables");
        let member = Member::of(pod).expect("it runs etcd");
        let credentials = Credentials {
            origin: "test",
            cacert: None,
            pair: Some(("/c".into(), "/k".into())),
            in_member: true,
            mounts: None,
        };
        let command = endpoint(&["status", "--cluster"], Duration::from_secs(5), &member, &credentials, None);
        assert_eq!(
            command,
            [
                "etcdctl",
                "endpoint",
                "status",
                "--cluster",
                "-w",
                "json",
                "--command-timeout=5000ms",
                "--endpoints=https://127.0.0.1:2379",
                "--key=/k"
            ]
        );
    }
}
