//! Runs commands in the etcd container, and finds out what it offers: a shell, tools, and a directory with free space.
//!
//! Images differ: today's upstream one has no shell, older ones have a shell without `cat`. Only what the container
//! reports is used. Paths are arguments of scripts, so that no name of a directory can become a command.

use std::time::Duration;

use super::tools::Tools;
use crate::error::Result;
use crate::etcd::Member;
use crate::k8s::{ApiError, ContainerRef, ExecOutput, ExecStream, KubeClient};
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::request::Request;

/// How long a short command may take.
const SHORT: Duration = Duration::from_secs(20);

/// Prints `tool NAME` for each tool that is there, and `dir PATH`, followed by the output of `df`, for each directory
/// that is writable.
const PROBE: &str = r#"for t in cat cp dd tail rm sleep stat wc; do
  command -v "$t" >/dev/null 2>&1 && echo "tool $t"
done
for d in "${TMPDIR:-/tmp}" /tmp /var/tmp "$@"; do
  if [ -d "$d" ] && [ -w "$d" ]; then
    echo "dir $d"
    df -Pk "$d" 2>/dev/null
  fi
done
exit 0"#;

/// The shell of the member's etcd container.
#[derive(Debug, Clone)]
pub struct ContainerShell {
    pub container: ContainerRef,
}

impl ContainerShell {
    pub fn new(member: &Member) -> Self {
        ContainerShell { container: member.container_ref() }
    }

    /// Returns the name of the container and its pod, for messages.
    pub fn place(&self) -> String {
        self.container.to_string()
    }

    /// Runs a command without the shell and waits for its end.
    pub async fn exec(&self, client: &KubeClient, command: &[String]) -> Result<ExecOutput, ApiError> {
        client.exec(&self.container, command, SHORT).await
    }

    /// Runs a script and waits for its end.
    pub async fn run(&self, client: &KubeClient, script: &str, args: &[&str]) -> Result<ExecOutput, ApiError> {
        self.exec(client, &command(script, args)).await
    }

    /// Starts a script whose output is read as it comes.
    pub async fn start(&self, client: &KubeClient, script: &str, args: &[&str]) -> Result<ExecStream, ApiError> {
        client.start(&self.container, &command(script, args)).await
    }

    /// Asks the container for its tools and directories.
    ///
    /// # Errors
    /// Not possible without a shell, `rm`, `sleep` and a tool that prints a file: a file could be left behind, or not
    /// be downloaded.
    pub async fn probe(&self, client: &KubeClient, request: &Request<'_>) -> Result<Tools, TransportError> {
        let data = request.member.config.get("data-dir");
        let mounts = request.member.container.volume_mounts.iter().flatten();
        // The directory of etcd's own data comes last: it must not fill up.
        let mut more: Vec<&str> = mounts
            .filter(|mount| mount.read_only != Some(true) && mount.sub_path.is_none())
            .map(|mount| mount.mount_path.as_str())
            .collect();
        more.sort_by_key(|path| data.is_some_and(|data| data.starts_with(path)));
        let output = self.run(client, PROBE, &more).await?;
        if !output.success && output.stdout.is_empty() {
            let cause = if output.reason.is_empty() { &output.stderr } else { &output.reason };
            return Err(not_possible(format!("{} has no shell: {}", self.place(), cause.trim())));
        }
        let mut tools = Tools::parse(&output.stdout);
        tools.drop_harmful_directories(request.member, request.db_size, &self.place())?;
        for needed in ["rm", "sleep"] {
            if !tools.has(needed) {
                return Err(not_possible(format!(
                    "{} has no {needed}, so the plugin could not delete the snapshot there",
                    self.place()
                )));
            }
        }
        if tools.reader().is_none() {
            return Err(not_possible(format!("{} has no tool that prints a file (tail, dd, cat, cp)", self.place())));
        }
        Ok(tools)
    }
}

fn command(script: &str, args: &[&str]) -> Vec<String> {
    ["sh", "-c", script, "sh"].iter().chain(args).map(|word| (*word).to_owned()).collect()
}
