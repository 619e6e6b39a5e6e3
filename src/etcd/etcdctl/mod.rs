//! Runs etcdctl in the etcd container.

pub mod error;
pub(super) mod json;

use std::time::Duration;

use super::credentials::pod_paths::Credentials;
use super::member::Member;
use crate::k8s::{ApiError, ExecOutput, KubeClient};

/// Runs the command behind it without [`ENDPOINTS`], which OpenShift sets to the URLs of all members. With it, etcdctl asks
/// all members instead of one, and refuses to save a snapshot. `pods/exec` cannot change the environment.
const WITHOUT_ENDPOINTS: [&str; 4] = ["sh", "-c", r#"unset ETCDCTL_ENDPOINTS; exec "$@""#, "sh"];

const ENDPOINTS: &str = "ETCDCTL_ENDPOINTS";

/// Returns the command `etcdctl WORDS…` with endpoint and certificates.
///
/// etcdctl refuses a flag whose environment variable is set (etcd `pkg/flags`, verifyEnv), so those flags are left out. A
/// variable with other endpoints is unset instead.
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
    let has_other_endpoints = variable(ENDPOINTS).is_some_and(|known| known.value.as_deref() != Some(endpoint));
    let is_set = |name: &str| {
        let name = format!("ETCDCTL_{}", name.to_ascii_uppercase().replace('-', "_"));
        variable(&name).is_some() && !(has_other_endpoints && name == ENDPOINTS)
    };
    let mut all: Vec<(&str, &str)> = flags.to_vec();
    all.push(("endpoints", endpoint));
    all.extend(credentials.cacert.as_deref().map(|path| ("cacert", path)));
    if let Some((cert, key)) = &credentials.client_cert {
        all.extend([("cert", cert.as_str()), ("key", key.as_str())]);
    }
    let shell = if has_other_endpoints { &WITHOUT_ENDPOINTS[..] } else { &[] };
    let mut command: Vec<String> =
        shell.iter().chain(&["etcdctl"]).chain(words).map(|word| (*word).to_owned()).collect();
    command.extend(all.into_iter().filter(|(name, _)| !is_set(name)).map(|(name, value)| format!("--{name}={value}")));
    command
}

/// Runs such a command in the member's container. If that has no shell to unset the variable, etcdctl inherits it. Then
/// the output may be about several members, or about another one.
pub async fn run(
    client: &KubeClient,
    member: &Member,
    command: &[String],
    limit: Duration,
) -> Result<ExecOutput, ApiError> {
    let container = member.container_ref();
    let output = client.exec(&container, command, limit).await?;
    match without_shell(command) {
        Some(words) if did_not_start(&output) => client.exec(&container, &words, limit).await,
        _ => Ok(output),
    }
}

/// Returns the command without the shell that unsets the variable; `None` if it has none.
fn without_shell(command: &[String]) -> Option<Vec<String>> {
    let (shell, words) = command.split_at_checked(WITHOUT_ENDPOINTS.len())?;
    let is_shell = shell.iter().zip(WITHOUT_ENDPOINTS).all(|(word, expected)| word == expected);
    is_shell.then(|| words.iter().filter(|word| !word.starts_with("--endpoints=")).cloned().collect())
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
    fn a_variable_with_the_endpoint_of_the_member_is_kept() {
        assert_eq!(status(OWN), ["etcdctl", "endpoint", "status"]);
        assert_eq!(without_shell(&status(OWN)), None);
    }

    #[test]
    fn a_variable_with_other_endpoints_is_unset() {
        let words = status("https://10.0.0.1:2379,https://10.0.0.2:2379");
        assert_eq!(words[..4], WITHOUT_ENDPOINTS);
        assert_eq!(words[4..], ["etcdctl", "endpoint", "status", "--endpoints=https://127.0.0.1:2379"]);
    }

    #[test]
    fn without_a_shell_the_variable_is_inherited_and_the_flag_left_out() {
        let words = without_shell(&status("https://10.0.0.1:2379")).expect("the command has a shell");
        assert_eq!(words, ["etcdctl", "endpoint", "status"]);
    }
}
