//! What a connection straight to one member needs: its URL, certificates, and a user where etcd asks for one.
//!
//! What a person gave must work. What was found in the pod itself may be the wrong thing, and then another way may do.

use super::auth_user::AuthUser;
use super::pod_paths::Credentials;
use super::tls_material::TlsMaterial;
use crate::error::Result;
use crate::etcd::ClientOptions;
use crate::etcd::Member;
use crate::k8s::KubeClient;

/// Everything that a connection to one member needs.
#[derive(Debug)]
pub struct ClientConfig {
    endpoint: String,
    keys: Option<TlsMaterial>,
    user: Option<AuthUser>,
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
        options: &ClientOptions,
        endpoint: Option<&str>,
    ) -> Result<Option<Self>> {
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let keys = if let Some(secret) = &options.cert_secret {
            Some(TlsMaterial::from_secret(cluster, &member.namespace, options, secret).await?)
        } else if options.cert.is_some() || options.cacert.is_some() {
            Some(TlsMaterial::from_files(options)?)
        } else if endpoint.starts_with("https://") {
            return Ok(None);
        } else {
            None
        };
        Ok(Some(ClientConfig {
            endpoint,
            keys,
            user: options.user.clone(),
            server_name: options.server_name.clone(),
            found: false,
        }))
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
        Some(ClientConfig { endpoint, keys: Some(keys), user: None, server_name: None, found: true })
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
    pub fn user(&self) -> Option<&AuthUser> {
        self.user.as_ref()
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

    /// Returns whether it was found in the pod's Secrets. What was given must work; what was found may be wrong.
    pub fn is_found(&self) -> bool {
        self.found
    }
}
