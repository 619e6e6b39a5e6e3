//! Flags for a direct connection to etcd, through the API server.

use std::path::PathBuf;

use clap::Args;

use crate::etcd::ClientOptions;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Direct etcd connection")]
pub struct EtcdClientArgs {
    /// CA certificate of etcd
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<PathBuf>,

    /// Client certificate for etcd
    #[arg(long, value_name = "FILE", requires = "etcd_key", conflicts_with = "etcd_cert_secret")]
    pub etcd_cert: Option<PathBuf>,

    /// Private key of --etcd-cert
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    pub etcd_key: Option<PathBuf>,

    /// Secret in the cluster with CA, client certificate and key, which are kept in memory only
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub etcd_cert_secret: Option<String>,

    /// Name to expect in etcd's certificate [default: any of the member's own]
    #[arg(long, value_name = "NAME")]
    pub etcd_server_name: Option<String>,

    /// etcd user, if etcd requires one; the password comes from a prompt or from ETCDCTL_PASSWORD
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    pub etcd_user: Option<String>,
}

impl From<&EtcdClientArgs> for ClientOptions {
    /// Leaves out the user: its password is not a flag, so the command adds both.
    fn from(args: &EtcdClientArgs) -> Self {
        ClientOptions {
            cacert: args.etcd_cacert.clone(),
            cert: args.etcd_cert.clone(),
            key: args.etcd_key.clone(),
            cert_secret: args.etcd_cert_secret.clone(),
            server_name: args.etcd_server_name.clone(),
            user: None,
        }
    }
}

/// Refuses `name:password`, which etcdctl accepts, because other users can read a command line.
fn user_name(word: &str) -> Result<String, String> {
    if word.contains(':') {
        return Err(
            "expected a name without a password; set the password in ETCDCTL_PASSWORD, or type it at the prompt"
                .to_owned(),
        );
    }
    Ok(word.to_owned())
}
