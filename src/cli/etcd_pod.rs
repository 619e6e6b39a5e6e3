//! Flags for a connection to etcd inside its own pod. They override the flags of the pod.

use clap::Args;

use crate::etcd::PodOverrides;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "etcd settings inside the pod")]
pub struct EtcdPodArgs {
    /// CA certificate of etcd, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH")]
    pub pod_cacert: Option<String>,

    /// Client certificate for etcd, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH", requires = "pod_key")]
    pub pod_cert: Option<String>,

    /// Private key of --pod-cert, as a path in the etcd container [default: from the pod]
    #[arg(long, value_name = "PATH", requires = "pod_cert")]
    pub pod_key: Option<String>,

    /// URL of the member inside its own pod [default: from the pod]
    #[arg(long, value_name = "URL")]
    pub pod_endpoint: Option<String>,
}

impl From<&EtcdPodArgs> for PodOverrides {
    fn from(args: &EtcdPodArgs) -> Self {
        PodOverrides {
            cacert: args.pod_cacert.clone(),
            cert: args.pod_cert.clone(),
            key: args.pod_key.clone(),
            endpoint: args.pod_endpoint.clone(),
        }
    }
}
