//! The connection to one API server, and how its calls are limited and their failures explained.

use std::future::Future;
use std::time::Duration;

use kube::Client;

use super::access::Access;
use super::error::ApiError;
use super::kubeconfig;
use super::options::ConnectOptions;
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
    /// Reads the kubeconfig as kubectl does and prepares a client. A credential plugin runs here, and may ask questions
    /// on the terminal. No request is sent to the API server yet.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for a context, cluster or user that is not in the kubeconfig;
    /// [`Failed`](crate::error::ErrorKind::Failed) for a kubeconfig or credentials that cannot be read.
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let resolved = kubeconfig::resolve(options).await?;
        let server = resolved.config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        let client = Client::try_from(resolved.config).map_err(|error| {
            let error = ApiError::from_kube(error, None, &server);
            Error::from(error).context("cannot prepare the connection to the cluster")
        })?;
        tracing::info!(%server, context = resolved.context.as_deref().unwrap_or("none"), "connecting");
        Ok(KubeClient {
            client,
            name: resolved.name,
            context: resolved.context,
            server,
            request_timeout: (!options.request_timeout.is_zero()).then_some(options.request_timeout),
        })
    }

    /// Returns the contexts of a run with several: all, or those of a list such as `a,b`. Empty for a run with one.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for a name that is not in the kubeconfig.
    pub fn selected_contexts(options: &ConnectOptions, all: bool) -> Result<Vec<String>> {
        kubeconfig::selected_contexts(options, all)
    }

    /// Returns the name to show for this cluster: the context's, else the cluster's, else the API server's host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kubeconfig context, if there is one.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Returns the URL of the API server, base path included.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs one request within `--request-timeout` and explains its failure.
    pub(super) async fn call<T>(
        &self,
        access: &Access,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        let response = self.limit(access, request).await?;
        match &response {
            Ok(_) => tracing::trace!(%access, "ok"),
            Err(kube::Error::Api(status)) => tracing::trace!(%access, code = status.code, "refused"),
            Err(_) => tracing::trace!(%access, "no answer"),
        }
        response.map_err(|error| ApiError::from_kube(error, Some(access), self.server()))
    }

    /// Waits for `future`, at most `--request-timeout`.
    pub(super) async fn limit<T>(&self, access: &Access, future: impl Future<Output = T>) -> Result<T, ApiError> {
        let Some(limit) = self.request_timeout else {
            return Ok(future.await);
        };
        tokio::time::timeout(limit, future).await.map_err(|_| {
            let message = format!(
                "no answer within {}s from the API server {} to '{access}'",
                limit.as_secs_f32(),
                self.server()
            );
            ApiError::timeout(Error::failed(message).hint("set a longer limit with --request-timeout"))
        })
    }
}
