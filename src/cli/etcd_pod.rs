//! The flags that say how etcd is reached from inside its own pod, where the pod does not tell.

use clap::Args;

/// Paths and a URL as the etcd container sees them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "etcd, as its own container sees it")]
pub struct EtcdPodArgs {
    /// CA certificate of etcd, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH")]
    pub pod_cacert: Option<String>,

    /// Client certificate for etcd, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH", requires = "pod_key")]
    pub pod_cert: Option<String>,

    /// Key of that certificate, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH", requires = "pod_cert")]
    pub pod_key: Option<String>,

    /// URL at which the etcd container reaches its own member [default: from the pod]
    #[arg(long, value_name = "URL")]
    pub pod_endpoint: Option<String>,
}
