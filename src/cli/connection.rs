//! Flags that select the cluster and the credentials: kubectl's own, with kubectl's meaning.
//!
//! Source of names and meaning: `kubectl options`, k8s.io/cli-runtime `genericclioptions/config_flags.go`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::options::ClusterOptions;
use super::value_parser::duration;
use crate::etcd;
use crate::k8s::ConnectOptions;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ConnectionArgs {
    /// Path to the kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of the kubeconfig context to use; for a backup also a list a,b,c (needs --out-dir)
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// Name of the kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,

    /// Name of the kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,

    /// Namespace of the etcd pods [default: kube-system, then openshift-etcd]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Label selector of the etcd pods [default: the labels of known distributions]
    #[arg(short = 'l', long, global = true, value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,

    /// Bearer token for the API server
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,

    /// Group to impersonate; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_group: Vec<String>,

    /// UID to impersonate
    #[arg(long = "as-uid", global = true, value_name = "UID")]
    pub impersonate_uid: Option<String>,

    /// CA certificate file for the API server
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,

    /// Client certificate file for the API server
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,

    /// Client key file for the API server
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,

    /// Skip the check of the API server's certificate (insecure: an attacker can read all Secrets)
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,

    /// Name to expect in the API server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Time limit for a single API request, not for the copy; 0 disables it
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,
}

impl ConnectionArgs {
    /// Combines the connection with the etcd flags of a subcommand.
    pub(super) fn cluster_options(&self, etcd_client: &EtcdClientArgs, etcd_pod: &EtcdPodArgs) -> ClusterOptions {
        ClusterOptions {
            connect: ConnectOptions::from(self),
            etcd: etcd::Options {
                namespace: self.namespace.clone(),
                selector: self.selector.clone(),
                client: etcd_client.into(),
                pod: etcd_pod.into(),
            },
            etcd_user: etcd_client.etcd_user.clone(),
        }
    }
}

impl From<&ConnectionArgs> for ConnectOptions {
    fn from(args: &ConnectionArgs) -> Self {
        ConnectOptions {
            kubeconfig: args.kubeconfig.clone(),
            context: args.context.clone(),
            cluster: args.cluster.clone(),
            user: args.user.clone(),
            server: args.server.clone(),
            token: args.token.clone(),
            impersonate: args.impersonate.clone(),
            impersonate_group: args.impersonate_group.clone(),
            impersonate_uid: args.impersonate_uid.clone(),
            certificate_authority: args.certificate_authority.clone(),
            client_certificate: args.client_certificate.clone(),
            client_key: args.client_key.clone(),
            insecure_skip_tls_verify: args.insecure_skip_tls_verify,
            tls_server_name: args.tls_server_name.clone(),
            request_timeout: args.request_timeout,
            unattended: false,
        }
    }
}
