//! The configuration of a direct connection to one member: its URL, certificates, and a user if etcd asks for one.

use super::auth_user::AuthUser;
use super::pod_paths::Credentials;
use super::tls_material::TlsMaterial;
use crate::etcd::connect_error::ConnectError;
use crate::etcd::member::Member;
use crate::etcd::options::ClientOptions;
use crate::k8s::KubeClient;

/// URL, certificates and user for a connection to one member.
#[derive(Debug)]
pub struct ClientConfig {
    endpoint: String,
    tls: Option<TlsMaterial>,
    user: Option<AuthUser>,
    server_name: Option<String>,
    /// The certificates are from the pod's Secrets, not from flags.
    found: bool,
}

impl ClientConfig {
    /// Creates the configuration from the flags; `None` if they name no certificates and etcd serves https.
    ///
    /// # Errors
    /// A file that cannot be read or is not PEM, or a Secret that does not exist or may not be read.
    pub async fn from_flags(
        client: &KubeClient,
        member: &Member,
        options: &ClientOptions,
        endpoint: Option<&str>,
    ) -> Result<Option<Self>, ConnectError> {
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let tls = if let Some(secret) = &options.cert_secret {
            Some(TlsMaterial::from_secret(client, &member.namespace, options, secret).await?)
        } else if options.cert.is_some() || options.cacert.is_some() {
            Some(TlsMaterial::from_files(options)?)
        } else if endpoint.starts_with("https://") {
            return Ok(None);
        } else {
            None
        };
        Ok(Some(ClientConfig {
            endpoint,
            tls,
            user: options.user.clone(),
            server_name: options.server_name.clone(),
            found: false,
        }))
    }

    /// Creates the configuration from the Secrets that the etcd pod mounts, as on a hosted control plane. `None` for a
    /// static pod, and for Secrets that may not be read.
    pub async fn from_pod_secrets(
        client: &KubeClient,
        member: &Member,
        candidates: &[Credentials],
        endpoint: Option<&str>,
    ) -> Option<Self> {
        let annotations = member.pod.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror")) {
            return None;
        }
        let endpoint = endpoint.map_or_else(|| member.local_endpoint(), str::to_owned);
        let tls = TlsMaterial::from_pod(client, member, candidates).await?;
        Some(ClientConfig { endpoint, tls: Some(tls), user: None, server_name: None, found: true })
    }

    /// Returns the URL of the member inside its pod.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the certificates; `None` for plain http.
    pub fn tls(&self) -> Option<&TlsMaterial> {
        self.tls.as_ref()
    }

    pub fn user(&self) -> Option<&AuthUser> {
        self.user.as_ref()
    }

    /// Returns the value of `--etcd-server-name`.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns why a direct connection can be tried.
    pub fn reason(&self) -> String {
        match &self.tls {
            Some(tls) => format!("with {}", tls.origin()),
            None => "because it serves plain http".to_owned(),
        }
    }

    /// Returns whether it was found in the pod's Secrets. What was given must work; what was found may be wrong.
    pub fn is_found(&self) -> bool {
        self.found
    }
}
