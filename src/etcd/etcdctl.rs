//! etcdctl's command line, for a run inside the etcd container.

use super::Member;
use super::credentials::Credentials;

/// `etcdctl WORDS…` with endpoint and certificates. etcdctl refuses a flag whose variable is set as well (etcd
/// `pkg/flags`, verifyEnv), so those are left out.
pub(crate) fn command(
    member: &Member,
    credentials: &Credentials,
    endpoint: Option<&str>,
    words: &[&str],
    flags: &[(&str, &str)],
) -> Vec<String> {
    let is_set = |name: &str| {
        let variable = format!("ETCDCTL_{}", name.to_ascii_uppercase().replace('-', "_"));
        member.container.env.iter().flatten().any(|known| known.name == variable)
    };
    let local = member.local_endpoint();
    let mut all: Vec<(&str, &str)> = flags.to_vec();
    all.push(("endpoints", endpoint.unwrap_or(&local)));
    all.extend(credentials.cacert.as_deref().map(|path| ("cacert", path)));
    if let Some((cert, key)) = &credentials.pair {
        all.extend([("cert", cert.as_str()), ("key", key.as_str())]);
    }
    let mut command: Vec<String> = std::iter::once("etcdctl").chain(words.iter().copied()).map(str::to_owned).collect();
    command.extend(all.into_iter().filter(|(name, _)| !is_set(name)).map(|(name, value)| format!("--{name}={value}")));
    command
}
