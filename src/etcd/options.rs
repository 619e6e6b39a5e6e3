//! The options of etcd: which pods run it, and how to connect to it.

use std::path::PathBuf;

use super::credentials::auth_user::AuthUser;

/// Where the members are, and how to connect to them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Namespace of the etcd pods; `None` for the known ones.
    pub namespace: Option<String>,
    /// Label selector of the etcd pods; `None` for those of known distributions.
    pub selector: Option<String>,
    /// For a direct connection to etcd, through the API server.
    pub client: ClientOptions,
    /// For commands in the etcd pod, and for the snapshot Job.
    pub pod: PodOverrides,
}

/// The client certificate, CA and user for a direct connection to etcd.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    pub cacert: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `[NAMESPACE/]NAME` of a Secret with CA, client certificate and key.
    pub cert_secret: Option<String>,
    /// The name to expect in etcd's certificate; `None` for any name of the member.
    pub server_name: Option<String>,
    pub user: Option<AuthUser>,
}

impl ClientOptions {
    /// Reports whether certificates or a user were given, that is, whether a direct connection is wanted.
    pub fn are_given(&self) -> bool {
        self.cacert.is_some() || self.cert.is_some() || self.cert_secret.is_some() || self.user.is_some()
    }
}

/// Paths and a URL inside the etcd container, for a pod whose flags do not contain them.
#[derive(Debug, Clone, Default)]
pub struct PodOverrides {
    pub cacert: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub endpoint: Option<String>,
}
