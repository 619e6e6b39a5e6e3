//! Running a short command in a container, for what it prints.
//!
//! An exec stream's end proves nothing: a broken connection can look like a clean end, and the reader of a dead one
//! hangs. So the output counts only together with the status that the kubelet sends, and all of it has a time limit.

use std::time::Duration;

use super::KubeClient;
use super::command::ExecEvent;
use super::error::ApiError;
use crate::error::Error;

/// More than any answer of etcdctl that is asked for; what comes beyond it is not kept.
const MOST_OUTPUT: usize = 4 << 20;

/// What a command printed, and whether it ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command ran and ended with 0.
    pub success: bool,
    /// What the kubelet says of the end, when it was not a success.
    pub reason: String,
}

impl KubeClient {
    /// Runs `command` in a container and waits for its end, at most `limit`.
    ///
    /// # Errors
    /// A refusal, an unreachable node, something in between that lets no WebSocket through, a stream without a status.
    /// A command that ends with another code than 0, or that does not exist in the container, is an [`ExecOutput`] without
    /// success.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecOutput, ApiError> {
        let run = async {
            let mut running = self.start(namespace, pod, container, command).await?;
            let mut stdout = Vec::new();
            loop {
                match running.next(limit).await {
                    Ok(ExecEvent::Stdout(bytes)) => {
                        let room = MOST_OUTPUT - stdout.len();
                        stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    }
                    Ok(ExecEvent::Exited(output)) => {
                        return Ok(ExecOutput { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..output });
                    }
                    Err(why) => {
                        let what = format!("the command in container {container} of pod {namespace}/{pod}: {why}");
                        return Err(ApiError::new(None, Error::failed(what)));
                    }
                }
            }
        };
        tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
            let program = command.first().map_or("the command", String::as_str);
            let what = format!("'{program}' in pod {namespace}/{pod} gave no answer within {}s", limit.as_secs());
            let error = Error::failed(what)
                .hint("its node or the way there is slow: run it again, or choose another member with --member");
            Err(ApiError::new(None, error))
        })
    }
}
