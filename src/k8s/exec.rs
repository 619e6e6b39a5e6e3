//! Runs commands in containers (`pods/exec`).
//!
//! The kubelet sends the end of a command as a status on a channel of its own. Output without that status came over a
//! connection that broke, even if the connection was closed cleanly. The reader of a dead connection hangs, so every
//! wait has a limit.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Resource;
use kube::api::AttachParams;
use kube::core::Request;

use super::access::Access;
use super::client::KubeClient;
use super::error::ApiError;
use super::websocket::Frames;
use crate::error::Error;

/// Channels of the protocol (`k8s.io/apimachinery/pkg/util/remotecommand/constants.go`).
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// The most that [`KubeClient::exec`] keeps of standard output, more than etcdctl ever prints.
const MAX_STDOUT: usize = 4 << 20;

/// The most that is kept of standard error.
const MAX_STDERR: usize = 64 << 10;

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl fmt::Display for ContainerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} of pod {}/{}", self.container, self.namespace, self.pod)
    }
}

/// What a command printed, and whether it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: String,
    pub stderr: String,
    /// The command ran and exited with 0.
    pub success: bool,
    /// The kubelet's reason, if the command did not succeed.
    pub reason: String,
}

/// A running command whose output is read as it arrives.
#[derive(Debug)]
pub struct ExecStream {
    frames: Frames,
    stderr: Vec<u8>,
}

/// What an [`ExecStream`] delivers.
#[derive(Debug)]
pub enum ExecEvent {
    Stdout(Bytes),
    /// The command ended. The output is without standard output.
    Exited(ExecOutput),
}

impl KubeClient {
    /// Runs `command` in a container and waits for its end, at most `limit`.
    ///
    /// # Errors
    /// The API server refuses, a node is unreachable, a proxy blocks WebSockets, or the stream ends without a status.
    /// A command that exits with another code than 0, or that the container does not have, is an [`ExecOutput`]
    /// without success.
    pub async fn exec(
        &self,
        container: &ContainerRef,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, ApiError> {
        let program = command.first().map_or("the command", String::as_str);
        let run = async {
            let mut stream = self.start(container, command).await?;
            let mut stdout = Vec::new();
            loop {
                match stream.next(limit).await {
                    Ok(ExecEvent::Stdout(bytes)) => append(&mut stdout, &bytes, MAX_STDOUT),
                    Ok(ExecEvent::Exited(output)) => {
                        return Ok(ExecOutput { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..output });
                    }
                    Err(cause) => {
                        let message = format!("cannot read the output of '{program}' in {container}: {cause}");
                        return Err(ApiError::new(None, Error::failed(message)));
                    }
                }
            }
        };
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let message = format!("cannot run '{program}' in {container}: no answer within {seconds}s");
            let hint = "run it again, or choose another member with --member, because the node or the network is slow";
            Err(ApiError::timeout(Error::failed(message).hint(hint)))
        })
    }

    /// Starts `command` in a container.
    ///
    /// # Errors
    /// The API server refuses or is unreachable, or a proxy blocks WebSockets.
    pub async fn start(&self, container: &ContainerRef, command: &[String]) -> Result<ExecStream, ApiError> {
        let ContainerRef { namespace, pod, container } = container;
        // The upgrade is a GET. From Kubernetes 1.35 on it needs `create`, too.
        let access = Access::namespaced("get", "", "pods", namespace).subresource("exec");
        let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .exec(pod, command, &params)
            .map_err(|error| ApiError::from_kube(kube::Error::BuildRequest(error), None, self.server()))?;
        let client = self.client();
        match self.limit(&access, client.connect(request)).await? {
            Ok(connection) => Ok(ExecStream { frames: Frames::new(connection), stderr: Vec::new() }),
            Err(error) => Err(ApiError::from_upgrade(error, &access, self.server())),
        }
    }
}

impl ExecStream {
    /// Returns the next event; waits at most `limit`.
    ///
    /// # Errors
    /// The connection broke or closed without a status, or nothing arrived. The text says which.
    pub async fn next(&mut self, limit: Duration) -> Result<ExecEvent, String> {
        let next = async {
            loop {
                let (channel, bytes) = self.frames.next().await.map_err(|error| error.to_string())?;
                match channel {
                    STDOUT if !bytes.is_empty() => return Ok(ExecEvent::Stdout(bytes)),
                    STDERR => append(&mut self.stderr, &bytes, MAX_STDERR),
                    STATUS => return Ok(ExecEvent::Exited(output_from_status(&bytes, &self.stderr))),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(limit, next).await.unwrap_or_else(|_| Err("the connection went silent".to_owned()))
    }
}

/// Appends `bytes` to `kept` up to `max` bytes; drops the rest.
fn append(kept: &mut Vec<u8>, bytes: &[u8], max: usize) {
    let free = max.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(free)]);
}

fn output_from_status(status: &[u8], stderr: &[u8]) -> ExecOutput {
    let status: Status = serde_json::from_slice(status).unwrap_or_default();
    ExecOutput {
        stdout: String::new(),
        stderr: String::from_utf8_lossy(stderr).into_owned(),
        success: status.status.as_deref() == Some("Success"),
        reason: status.message.unwrap_or_default(),
    }
}
