//! What the user says about the API server: kubectl's own flags, with kubectl's meaning.

use std::path::PathBuf;
use std::time::Duration;

/// Which cluster, and as whom. A value that is set replaces what the kubeconfig has.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context; for several backups a list, separated by commas.
    pub context: Option<String>,
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub server: Option<String>,
    pub token: Option<String>,
    pub impersonate: Option<String>,
    pub impersonate_group: Vec<String>,
    pub impersonate_uid: Option<String>,
    pub certificate_authority: Option<PathBuf>,
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub insecure_skip_tls_verify: bool,
    pub tls_server_name: Option<String>,
    /// Limit of a single API request; zero: none.
    pub request_timeout: Duration,
    /// A credential plugin must not ask questions.
    pub unattended: bool,
}
