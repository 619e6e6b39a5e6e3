//! All that speaks to Kubernetes.
//!
//! [`KubeClient`] is one API server as one user. Its calls are few, and each of them knows the right it needs, so that a
//! refusal can name the verb, the resource and the rule that would cure it; the rest of the program never sees an
//! HTTP status or a client library's error.

mod access;
mod command;
mod error;
mod exec;
mod kubeconfig;
mod kubelet;
mod options;
mod port_forward;
mod readyz;
mod resources;
mod websocket;

pub use access::Access;
pub use command::{ExecEvent, ExecStream};
pub use error::ApiError;
pub use exec::ExecOutput;
pub use kubelet::{DiskSpace, LogReadError, NodeLogPath, RangeResponse};
pub use options::ConnectOptions;

use std::time::Duration;

use kube::Client;

use crate::error::{Error, Result};

/// One API server, reached as one user.
#[derive(Clone)]
pub struct KubeClient {
    client: Client,
    name: String,
    context: Option<String>,
    server: String,
    request_timeout: Option<Duration>,
}

impl KubeClient {
    /// Reads the kubeconfig as kubectl does and prepares a client; a credential plugin runs here, and may ask
    /// questions on the terminal. Nothing is sent to the API server yet.
    ///
    /// # Errors
    /// [`Usage`](crate::error::Kind::Usage) for a context, cluster or user that is not in the kubeconfig;
    /// [`Failed`](crate::error::Kind::Failed) for a kubeconfig that cannot be read or credentials that cannot be had.
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let target = kubeconfig::resolve(options).await?;
        let server = target.config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        let client = Client::try_from(target.config).map_err(|error| {
            let explained = error::explain(error, None, &server);
            Error::from(explained).context("cannot prepare the connection to the cluster")
        })?;
        tracing::info!(%server, context = target.context.as_deref().unwrap_or("none"), "connecting");
        Ok(KubeClient {
            client,
            name: target.name,
            context: target.context,
            server,
            request_timeout: (!options.request_timeout.is_zero()).then_some(options.request_timeout),
        })
    }

    /// The contexts that are meant when several are: all, or a list such as `a,b`. Empty when one is meant.
    ///
    /// # Errors
    /// [`Usage`](crate::error::Kind::Usage) for a name that is not in the kubeconfig.
    pub fn selected_contexts(options: &ConnectOptions, all: bool) -> Result<Vec<String>> {
        kubeconfig::selected_contexts(options, all)
    }

    /// What to call this cluster in front of a person: the context's name, else the host of the API server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kubeconfig context, if there is one.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// The URL of the API server, base path included.
    pub fn server(&self) -> &str {
        &self.server
    }
}
