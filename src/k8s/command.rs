//! A command in a container whose output is read as it comes.
//!
//! The kubelet sends the command's end as a status on a channel of its own. Output without a status after it is output
//! of a connection that broke, however cleanly it closed.

use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Resource;
use kube::api::AttachParams;
use kube::core::Request;

use super::error::{ApiError, explain, no_websocket};
use super::websocket::Frames;
use super::{Access, ExecOutput, KubeClient};

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// What is kept of standard error.
const MOST_STDERR: usize = 64 << 10;

/// A command that runs in a container.
#[derive(Debug)]
pub struct ExecStream {
    frames: Frames,
    stderr: Vec<u8>,
}

/// What came from a command.
#[derive(Debug)]
pub enum ExecEvent {
    /// Bytes of standard output.
    Stdout(Bytes),
    /// It ended; the output here is without standard output.
    Exited(ExecOutput),
}

impl KubeClient {
    /// The right to run commands in the containers of a namespace. The upgrade is a GET; from Kubernetes 1.35 it needs
    /// `create`, too.
    pub fn exec_access(namespace: &str) -> Access {
        Access::namespaced("get", "", "pods", namespace).subresource("exec")
    }

    /// Starts `command` in a container.
    ///
    /// # Errors
    /// A refusal, an unreachable API server, or something in between that lets no WebSocket through.
    pub async fn start(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
    ) -> Result<ExecStream, ApiError> {
        let access = Self::exec_access(namespace);
        let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let request = Request::new(Pod::url_path(&(), Some(namespace)))
            .exec(pod, command, &params)
            .map_err(|error| explain(kube::Error::BuildRequest(error), None, self.server()))?;
        let client = self.client();
        match self.limited(&access, client.connect(request)).await? {
            Ok(connection) => Ok(ExecStream { frames: Frames::new(connection), stderr: Vec::new() }),
            Err(error) => Err(no_websocket(error, &access, self.server())),
        }
    }
}

impl ExecStream {
    /// What comes next, at most `limit` from now.
    ///
    /// # Errors
    /// The connection broke or closed without a status, or nothing came; the text says which.
    pub async fn next(&mut self, limit: Duration) -> Result<ExecEvent, String> {
        let next = async {
            loop {
                let (channel, bytes) = self.frames.next().await.map_err(|error| error.to_string())?;
                match channel {
                    STDOUT if !bytes.is_empty() => return Ok(ExecEvent::Stdout(bytes)),
                    STDERR => {
                        let room = MOST_STDERR.saturating_sub(self.stderr.len());
                        self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    }
                    STATUS => return Ok(ExecEvent::Exited(ended(&bytes, &self.stderr))),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(limit, next).await.unwrap_or_else(|_| Err("the connection went silent".to_owned()))
    }
}

fn ended(status: &[u8], stderr: &[u8]) -> ExecOutput {
    let status: Status = serde_json::from_slice(status).unwrap_or_default();
    ExecOutput {
        stdout: String::new(),
        stderr: String::from_utf8_lossy(stderr).into_owned(),
        success: status.status.as_deref() == Some("Success"),
        reason: status.message.unwrap_or_default(),
    }
}
