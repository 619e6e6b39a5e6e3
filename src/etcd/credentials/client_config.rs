//! What a connection straight to one member needs: its URL, certificates, and a user where etcd asks for one.
//!
//! What a person gave must work. What was found in the pod itself may be the wrong thing, and then another way may do.

use std::fmt;

use super::pod_paths::Credentials;
use super::tls_material::TlsMaterial;
use crate::cli::EtcdClientArgs;
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::KubeClient;
use crate::ui::Ui;

/// A password that prints as nothing.
pub struct Password(String);

impl Password {
    pub fn reveal(&self) -> &str {
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
pub struct AuthUser {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Password,
}

/// The variable that etcdctl takes the password from, too.
const PASSWORD: &str = "ETCDCTL_PASSWORD";

impl AuthUser {
    /// The user of `--etcd-user`, if one was given; asks for the password where the environment has none.
    ///
    /// # Errors
    /// There is no password and nobody to ask.
    pub async fn of(args: &EtcdClientArgs, ui: &Ui) -> Result<Option<Self>> {
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
        Ok(Some(AuthUser { user: user.clone(), password: Password(password) }))
    }
}

/// Everything that a connection to one member needs.
#[derive(Debug)]
pub struct ClientConfig {
    endpoint: String,
    keys: Option<TlsMaterial>,
    login: Option<AuthUser>,
    server_name: Option<String>,
    /// Found rather than given: when it does not work, something else may.
    found: bool,
}

impl ClientConfig {
    /// What the flags give for `member`; `None` when they give nothing and etcd serves https.
    ///
    /// # Errors
    /// Files that cannot be read or are not what they should be, a Secret that is missing or refused, a password that
    /// nobody can be asked for.
    pub async fn from_flags(
        cluster: &KubeClient,
        member: &Member,
        args: &EtcdClientArgs,
        endpoint: Option<&str>,
        ui: &Ui,
    ) -> Result<Option<Self>> {
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let keys = if let Some(secret) = &args.etcd_cert_secret {
            Some(TlsMaterial::from_secret(cluster, &member.namespace, args, secret).await?)
        } else if args.etcd_cert.is_some() || args.etcd_cacert.is_some() {
            Some(TlsMaterial::from_files(args)?)
        } else if endpoint.starts_with("https://") {
            return Ok(None);
        } else {
            None
        };
        let login = AuthUser::of(args, ui).await?;
        Ok(Some(ClientConfig { endpoint, keys, login, server_name: args.etcd_server_name.clone(), found: false }))
    }

    /// What the Secrets of a hosted control plane give: etcd's pod is no mirror of a static one, and this user may
    /// read the Secrets that it mounts.
    pub async fn from_pod_secrets(
        cluster: &KubeClient,
        member: &Member,
        candidates: &[Credentials],
        endpoint: Option<&str>,
    ) -> Option<Self> {
        let annotations = member.pod.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror")) {
            return None;
        }
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let keys = TlsMaterial::of_pod(cluster, member, candidates).await?;
        Some(ClientConfig { endpoint, keys: Some(keys), login: None, server_name: None, found: true })
    }

    /// URL of the member, as seen from inside its pod.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificates; `None` for plain http.
    pub fn keys(&self) -> Option<&TlsMaterial> {
        self.keys.as_ref()
    }

    /// The user.
    pub fn login(&self) -> Option<&AuthUser> {
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
    pub fn judge(&self, error: Error) -> Error {
        if self.found { error.or_another_way() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_has_a_debug_form() {
        let login = AuthUser { user: "root".to_owned(), password: Password("hunter2".to_owned()) };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
