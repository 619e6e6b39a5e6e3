//! etcdctl's command line, for a run inside the etcd container.

pub mod error;

use std::time::Duration;

use super::Member;
use super::credentials::pod_paths::Credentials;
use crate::k8s::{ApiError, ExecOutput, KubeClient};

/// Runs the words behind it without [`ENDPOINTS`]. OpenShift sets that to the URLs of all members: etcdctl would ask all of
/// them where one is meant, and refuses to save a snapshot. `pods/exec` has no other way to change the environment.
const WITHOUT_ENDPOINTS: [&str; 4] = ["sh", "-c", r#"unset ETCDCTL_ENDPOINTS; exec "$@""#, "sh"];

const ENDPOINTS: &str = "ETCDCTL_ENDPOINTS";

/// `etcdctl WORDS…` with endpoint and certificates. etcdctl refuses a flag whose variable is set as well (etcd
/// `pkg/flags`, verifyEnv), so those are left out; a variable that names other endpoints is unset instead.
pub fn command(
    member: &Member,
    credentials: &Credentials,
    endpoint: Option<&str>,
    words: &[&str],
    flags: &[(&str, &str)],
) -> Vec<String> {
    let variable = |name: &str| member.container.env.iter().flatten().find(|known| known.name == name);
    let local = member.local_endpoint();
    let endpoint = endpoint.unwrap_or(&local);
    let elsewhere = variable(ENDPOINTS).is_some_and(|known| known.value.as_deref() != Some(endpoint));
    let is_set = |name: &str| {
        let name = format!("ETCDCTL_{}", name.to_ascii_uppercase().replace('-', "_"));
        variable(&name).is_some() && !(elsewhere && name == ENDPOINTS)
    };
    let mut all: Vec<(&str, &str)> = flags.to_vec();
    all.push(("endpoints", endpoint));
    all.extend(credentials.cacert.as_deref().map(|path| ("cacert", path)));
    if let Some((cert, key)) = &credentials.client_cert {
        all.extend([("cert", cert.as_str()), ("key", key.as_str())]);
    }
    let before = if elsewhere { &WITHOUT_ENDPOINTS[..] } else { &[] };
    let mut command: Vec<String> =
        before.iter().chain(&["etcdctl"]).chain(words).map(|word| (*word).to_owned()).collect();
    command.extend(all.into_iter().filter(|(name, _)| !is_set(name)).map(|(name, value)| format!("--{name}={value}")));
    command
}

/// Runs such a command in the member's container. Where that has no shell to unset the variable, etcdctl inherits it:
/// the answer may then be of several members, or of another one.
pub async fn run(
    cluster: &KubeClient,
    member: &Member,
    command: &[String],
    limit: Duration,
) -> Result<ExecOutput, ApiError> {
    let exec = async |words: &[String]| {
        cluster.exec(&member.namespace, &member.pod_name, &member.container.name, words, limit).await
    };
    let output = exec(command).await?;
    match inheriting(command) {
        Some(words) if did_not_start(&output) => exec(&words).await,
        _ => Ok(output),
    }
}

/// The same without the shell in front; `None` when there is none.
fn inheriting(command: &[String]) -> Option<Vec<String>> {
    let (before, words) = command.split_at_checked(WITHOUT_ENDPOINTS.len())?;
    let is_before = before.iter().zip(WITHOUT_ENDPOINTS).all(|(word, before)| word == before);
    is_before.then(|| words.iter().filter(|word| !word.starts_with("--endpoints=")).cloned().collect())
}

fn did_not_start(output: &ExecOutput) -> bool {
    !output.success && output.stdout.is_empty() && output.stderr.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    const OWN: &str = "https://127.0.0.1:2379";

    /// `etcdctl endpoint status` in a container with this variable.
    fn status(endpoints: &str) -> Vec<String> {
        let mut pod = pod("etcd-cp1", &["etcd", "--listen-client-urls=https://127.0.0.1:2379"], true);
        pod.spec.as_mut().expect("it has one").containers[0].env =
            serde_json::from_value(serde_json::json!([{"name": ENDPOINTS, "value": endpoints}])).expect("variables");
        let member = Member::from_pod(pod).expect("it runs etcd");
        let credentials = Credentials {
            origin: "test",
            cacert: None,
            client_cert: None,
            usable_in_etcd_container: true,
            mounts: None,
        };
        command(&member, &credentials, None, &["endpoint", "status"], &[])
    }

    #[test]
    fn a_variable_with_the_members_own_endpoint_is_left_alone() {
        assert_eq!(status(OWN), ["etcdctl", "endpoint", "status"]);
        assert_eq!(inheriting(&status(OWN)), None);
    }

    #[test]
    fn a_variable_with_other_endpoints_is_unset() {
        let words = status("https://10.0.0.1:2379,https://10.0.0.2:2379");
        assert_eq!(words[..4], WITHOUT_ENDPOINTS);
        assert_eq!(words[4..], ["etcdctl", "endpoint", "status", "--endpoints=https://127.0.0.1:2379"]);
    }

    #[test]
    fn without_a_shell_the_variable_is_inherited_and_no_flag_contradicts_it() {
        let words = inheriting(&status("https://10.0.0.1:2379")).expect("there is another way");
        assert_eq!(words, ["etcdctl", "endpoint", "status"]);
    }
}
