//! Running a short command in a container, for what it prints.
//!
//! An exec stream's end proves nothing: a broken connection can look like a clean end, and the reader of a dead one
//! hangs. So the output counts only together with the status that the kubelet sends, and all of it has a time limit.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::failure::CallFailure;
use super::{Access, Cluster};
use crate::error::Error;

/// More than any answer of etcdctl that is asked for; what comes beyond it is not read.
const MOST_OUTPUT: u64 = 4 << 20;

/// What a command printed, and whether it ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command ran and ended with 0.
    pub success: bool,
    /// What the kubelet says of the end, when it was not a success.
    pub reason: String,
}

impl Cluster {
    /// Runs `command` in a container and waits for its end, at most `limit`.
    ///
    /// # Errors
    /// A refusal, an unreachable node, a stream without a status. A command that ends with another code than 0, or
    /// that does not exist in the container, is an [`Output`] without success.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Output, CallFailure> {
        // The upgrade is a GET; from Kubernetes 1.35 it needs `create`, too.
        let access = Access::namespaced("get", "", "pods", namespace).subresource("exec");
        let run = async {
            let params = AttachParams::default()
                .container(container)
                .stdin(false)
                .stdout(true)
                .stderr(true)
                .max_stdout_buf_size(64 << 10);
            let pods: Api<Pod> = Api::namespaced(self.client(), namespace);
            let mut process = self.call(&access, pods.exec(pod, command, &params)).await?;
            let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
            let status = async {
                match status {
                    Some(status) => status.await,
                    None => None,
                }
            };
            let (stdout, stderr, status) = tokio::join!(read(stdout), read(stderr), status);
            let Some(status) = status else {
                let what = format!("the connection to the container {container} of pod {namespace}/{pod} broke");
                return Err(CallFailure::new(None, Error::failed(what)));
            };
            Ok(finished(stdout, stderr, &status))
        };
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
            let what =
                format!("'{}' in pod {namespace}/{pod} gave no answer within {}s", command.join(" "), limit.as_secs());
            Err(CallFailure::new(None, Error::failed(what)))
        })
    }
}

fn finished(stdout: String, stderr: String, status: &Status) -> Output {
    Output {
        stdout,
        stderr,
        success: status.status.as_deref() == Some("Success"),
        reason: status.message.clone().unwrap_or_default(),
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // An error here is followed by a missing status, which is what is reported.
        let _ = stream.take(MOST_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
