//! The options of the connection to the API server: kubectl's flags, with kubectl's meaning.

use std::path::PathBuf;
use std::time::Duration;

/// Which cluster to connect to, and as which user. A value replaces that of the kubeconfig.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context; for a run with several contexts, a list separated by commas.
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
    /// Limit of a single API request; zero disables it.
    pub request_timeout: Duration,
    /// The run cannot answer questions of a credential plugin.
    pub unattended: bool,
}
