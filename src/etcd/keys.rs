//! What opens etcd for a connection straight to it: certificates from files or from a Secret, and a user.
//!
//! Keys and passwords stay in memory. Nothing here prints them, not even in a `Debug` form.

use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Member;
use super::credentials::{Credentials, Mount};
use crate::cli::EtcdArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::ui::Ui;

/// CA, client certificate and key.
pub struct Keys {
    ca: Vec<CertificateDer<'static>>,
    pair: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    origin: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Keys {
    /// The certificates that sign etcd's.
    pub fn ca(&self) -> &[CertificateDer<'static>] {
        &self.ca
    }

    /// The client certificate, those between it and its CA, and its key.
    pub fn pair(&self) -> Option<(&Vec<CertificateDer<'static>>, &PrivateKeyDer<'static>)> {
        self.pair.as_ref().map(|(chain, key)| (chain, key))
    }

    /// Where they come from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn from_pem(ca: &[u8], pair: Option<(&[u8], &[u8])>, origin: String) -> Result<Self> {
        let unreadable = |what: &str| Error::usage(format!("{what} of {origin} is no PEM"));
        let certificates = |pem: &[u8], what: &str| -> Result<Vec<CertificateDer<'static>>> {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            found.ok().filter(|found| !found.is_empty()).ok_or_else(|| unreadable(what))
        };
        let pair = match pair {
            Some((chain, key)) => {
                // The parser's error may quote what it read.
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable("the key"))?;
                Some((certificates(chain, "the client certificate")?, key))
            }
            None => None,
        };
        Ok(Keys { ca: certificates(ca, "the CA certificate")?, pair, origin })
    }

    fn from_files(args: &EtcdArgs) -> Result<Self> {
        let Some(ca) = &args.etcd_cacert else {
            return Err(Error::usage("--etcd-cert needs --etcd-cacert: etcd's own certificate is always checked")
                .hint("kubeadm keeps it in /etc/kubernetes/pki/etcd/ca.crt"));
        };
        let pair = match (&args.etcd_cert, &args.etcd_key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        let pair = pair.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
        Keys::from_pem(&read(ca)?, pair, "the files given".to_owned())
    }

    async fn from_secret(cluster: &Cluster, namespace: &str, args: &EtcdArgs, wanted: &str) -> Result<Self> {
        let (namespace, name) = wanted.split_once('/').unwrap_or((namespace, wanted));
        let secret = match cluster.secret(namespace, name).await {
            Ok(secret) => secret,
            Err(failure) if failure.is_not_found() => {
                return Err(Error::usage(format!("there is no Secret {namespace}/{name} (--etcd-cert-secret)")));
            }
            // Asked for by name: no other way would do what was asked.
            Err(failure) => return Err(failure.into()),
        };
        let given_ca = args.etcd_cacert.as_deref().map(read).transpose()?;
        Keys::in_secret(&secret, given_ca.as_deref(), &format!("Secret {namespace}/{name}"))
    }

    fn in_secret(secret: &Secret, given_ca: Option<&[u8]>, origin: &str) -> Result<Self> {
        let entry = |names: &[&str]| {
            let data = secret.data.as_ref()?;
            names.iter().find_map(|name| data.get(*name)).map(|bytes| bytes.0.as_slice())
        };
        let pair = PAIRS.iter().find_map(|(cert, key)| Some((entry(&[cert])?, entry(&[key])?)));
        let names = || {
            let names: Vec<&str> = secret.data.iter().flatten().map(|(name, _)| name.as_str()).collect();
            format!("its entries are: {}", names.join(", "))
        };
        let Some(pair) = pair else {
            return Err(Error::usage(format!(
                "{origin} holds no client certificate and key under a name that is known"
            ))
            .hint(names()));
        };
        let Some(ca) = given_ca.or_else(|| entry(CAS)) else {
            return Err(Error::usage(format!("{origin} holds no CA certificate of etcd"))
                .hint("give it with --etcd-cacert")
                .hint(names()));
        };
        Keys::from_pem(ca, Some(pair), origin.to_owned())
    }

    /// The certificates that a pod mounts from Secrets (hosted control planes); `None` where there are none, or where
    /// they may not be read.
    async fn of_pod(cluster: &Cluster, member: &Member, candidates: &[Credentials]) -> Option<Self> {
        for candidate in candidates {
            let (Some((cert, key)), Some(cacert), Some(mounts)) =
                (&candidate.pair, &candidate.cacert, &candidate.mounts)
            else {
                continue;
            };
            let mut found = Vec::new();
            for path in [cacert, cert, key] {
                let Some((secret, entry)) = mounts.iter().find_map(|mount| secret_entry(mount, path)) else { break };
                match cluster.secret(&member.namespace, &secret).await {
                    Ok(secret) => found.extend(secret.data.and_then(|mut data| data.remove(&entry))),
                    Err(failure) => {
                        tracing::info!(%secret, reason = %failure.error(), "the Secret of etcd's certificates cannot be read");
                        return None;
                    }
                }
            }
            if let [ca, cert, key] = found.as_slice()
                && let Ok(keys) =
                    Keys::from_pem(&ca.0, Some((&cert.0, &key.0)), "the Secrets of the etcd pod".to_owned())
            {
                return Some(keys);
            }
        }
        None
    }
}

/// Names of certificate and key in Secrets: cert-manager and kubeadm-like, Cilium and Calico, etcd operators, kube-prometheus.
const PAIRS: &[(&str, &str)] = &[
    ("tls.crt", "tls.key"),
    ("etcd-client.crt", "etcd-client.key"),
    ("client.crt", "client.key"),
    ("healthcheck-client.crt", "healthcheck-client.key"),
    ("apiserver-etcd-client.crt", "apiserver-etcd-client.key"),
    ("etcd-cert", "etcd-key"),
    ("cert.pem", "key.pem"),
    ("client.pem", "client-key.pem"),
    ("etcd-client.pem", "etcd-client-key.pem"),
    ("cert", "key"),
];

const CAS: &[&str] = &[
    "ca.crt",
    "etcd-client-ca.crt",
    "etcd-ca.crt",
    "server-ca.crt",
    "etcd-ca",
    "ca.pem",
    "etcd-ca.pem",
    "etcd-client-ca.pem",
    "ca",
];

/// The Secret and its entry that stand behind a path in a container.
fn secret_entry(mount: &Mount, path: &str) -> Option<(String, String)> {
    let below = path.strip_prefix(mount.mount.mount_path.trim_end_matches('/'))?;
    let file = match (&mount.mount.sub_path, below.trim_start_matches('/')) {
        (Some(single), "") => single.as_str(),
        (None, file) => file,
        _ => return None,
    };
    let named = |name: Option<&str>, items: Option<&Vec<k8s_openapi::api::core::v1::KeyToPath>>| {
        let entry = match items {
            Some(items) => items.iter().find(|item| item.path == file)?.key.clone(),
            None => file.to_owned(),
        };
        Some((name?.to_owned(), entry))
    };
    if let Some(secret) = &mount.volume.secret {
        return named(secret.secret_name.as_deref(), secret.items.as_ref());
    }
    let sources = mount.volume.projected.as_ref()?.sources.as_ref()?;
    let secrets = sources.iter().filter_map(|source| source.secret.as_ref());
    // Without items, any of them may hold the file; the first that lists it, else the only one.
    let mut secrets = secrets.collect::<Vec<_>>();
    secrets.sort_by_key(|secret| secret.items.is_none());
    secrets.into_iter().find_map(|secret| named(Some(secret.name.as_str()), secret.items.as_ref()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::usage(format!("cannot read {}: {error}", path.display())))
}

/// A password that prints as nothing.
pub struct Password(String);

impl Password {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// An etcd user.
#[derive(Debug)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Password,
}

/// The variable that etcdctl takes the password from, too.
const PASSWORD: &str = "ETCDCTL_PASSWORD";

impl Login {
    /// The user of `--etcd-user`, if one was given; asks for the password where the environment has none.
    ///
    /// # Errors
    /// There is no password and nobody to ask.
    pub async fn of(args: &EtcdArgs, ui: &Ui) -> Result<Option<Self>> {
        let Some(user) = &args.etcd_user else {
            return Ok(None);
        };
        let password = match std::env::var(PASSWORD) {
            Ok(password) if !password.is_empty() => password,
            _ if ui.is_interactive() => ui.ask_secret(&format!("Password of etcd user {user}: ")).await?,
            _ => {
                return Err(Error::usage(format!("no password for etcd user {user}"))
                    .hint(format!("without a terminal it is taken from the environment variable {PASSWORD}")));
            }
        };
        Ok(Some(Login { user: user.clone(), password: Password(password) }))
    }
}

/// Everything that a connection to one member needs.
#[derive(Debug)]
pub struct Opening {
    endpoint: String,
    keys: Option<Keys>,
    login: Option<Login>,
    server_name: Option<String>,
    /// Found rather than given: when it does not work, something else may.
    found: bool,
}

impl Opening {
    /// What the flags give for `member`; `None` when they give nothing and etcd serves https.
    ///
    /// # Errors
    /// Files that cannot be read or are not what they should be, a Secret that is missing or refused, a password that
    /// nobody can be asked for.
    pub async fn given(
        cluster: &Cluster,
        member: &Member,
        args: &EtcdArgs,
        endpoint: Option<&str>,
        ui: &Ui,
    ) -> Result<Option<Self>> {
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let keys = if let Some(secret) = &args.etcd_cert_secret {
            Some(Keys::from_secret(cluster, &member.namespace, args, secret).await?)
        } else if args.etcd_cert.is_some() || args.etcd_cacert.is_some() {
            Some(Keys::from_files(args)?)
        } else if endpoint.starts_with("https://") {
            return Ok(None);
        } else {
            None
        };
        let login = Login::of(args, ui).await?;
        Ok(Some(Opening { endpoint, keys, login, server_name: args.etcd_server_name.clone(), found: false }))
    }

    /// What the Secrets of a hosted control plane give: etcd's pod is no mirror of a static one, and this user may
    /// read the Secrets that it mounts.
    pub async fn found(
        cluster: &Cluster,
        member: &Member,
        candidates: &[Credentials],
        endpoint: Option<&str>,
    ) -> Option<Self> {
        let annotations = member.pod.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror")) {
            return None;
        }
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let keys = Keys::of_pod(cluster, member, candidates).await?;
        Some(Opening { endpoint, keys: Some(keys), login: None, server_name: None, found: true })
    }

    /// URL of the member, as seen from inside its pod.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificates; `None` for plain http.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// The user.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// `--etcd-server-name`.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Why a connection straight to etcd can be tried.
    pub fn why(&self) -> String {
        match &self.keys {
            Some(keys) => format!("with {}", keys.origin()),
            None => "since it serves plain http".to_owned(),
        }
    }

    /// What was given must work; what was found may be the wrong thing.
    pub(super) fn judge(&self, error: Error) -> Error {
        if self.found { error.or_another_way() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mount(volume: serde_json::Value, path: &str) -> Mount {
        Mount {
            volume: serde_json::from_value(volume).expect("a volume"),
            mount: serde_json::from_value(json!({"name": "v", "mountPath": path})).expect("a mount"),
        }
    }

    #[test]
    fn a_path_leads_to_its_entry_in_the_secret() {
        let plain = mount(json!({"name": "v", "secret": {"secretName": "etcd-tls"}}), "/certs");
        assert_eq!(secret_entry(&plain, "/certs/tls.crt"), Some(("etcd-tls".into(), "tls.crt".into())));
        assert_eq!(secret_entry(&plain, "/other/tls.crt"), None);
        let renamed =
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "tls.crt", "path": "server.crt"}]}});
        assert_eq!(secret_entry(&mount(renamed, "/certs"), "/certs/server.crt"), Some(("s".into(), "tls.crt".into())));
        let host = mount(json!({"name": "v", "hostPath": {"path": "/etc"}}), "/certs");
        assert_eq!(secret_entry(&host, "/certs/tls.crt"), None);
    }

    #[test]
    fn a_secret_without_known_names_lists_what_it_has() {
        let secret: Secret =
            serde_json::from_value(json!({"data": {"odd": "eA==", "strange": "eQ=="}})).expect("a secret");
        let error = Keys::in_secret(&secret, None, "Secret a/b").expect_err("nothing is known");
        assert_eq!(error.hints(), ["its entries are: odd, strange"]);
    }

    #[test]
    fn nothing_secret_has_a_debug_form() {
        let login = Login { user: "root".to_owned(), password: Password("hunter2".to_owned()) };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
