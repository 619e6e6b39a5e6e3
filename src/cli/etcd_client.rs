//! The flags that open etcd itself, for a connection to it through the API server.

use std::path::PathBuf;

use clap::Args;

/// What etcd asks of its clients.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "etcd, for a connection straight to it")]
pub struct EtcdClientArgs {
    /// CA certificate of etcd
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<PathBuf>,

    /// Client certificate for etcd
    #[arg(long, value_name = "FILE", requires = "etcd_key", conflicts_with = "etcd_cert_secret")]
    pub etcd_cert: Option<PathBuf>,

    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    pub etcd_key: Option<PathBuf>,

    /// Secret in the cluster that holds CA, client certificate and key; they stay in memory
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub etcd_cert_secret: Option<String>,

    /// Name to expect in etcd's certificate [default: any of the member's own]
    #[arg(long, value_name = "NAME")]
    pub etcd_server_name: Option<String>,

    /// etcd user, where etcd has authentication on; the password is asked for, or taken from the environment variable
    /// ETCDCTL_PASSWORD
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    pub etcd_user: Option<String>,
}

impl EtcdClientArgs {
    /// Certificates, or a user, were given: a connection straight to etcd is wanted.
    pub fn are_given(&self) -> bool {
        self.etcd_cacert.is_some()
            || self.etcd_cert.is_some()
            || self.etcd_cert_secret.is_some()
            || self.etcd_user.is_some()
    }
}

/// etcdctl takes `name:password`; here the password must not become part of a command line.
fn user_name(word: &str) -> Result<String, String> {
    if word.contains(':') {
        return Err("name the user alone; the password is asked for, or taken from ETCDCTL_PASSWORD".to_owned());
    }
    Ok(word.to_owned())
}
