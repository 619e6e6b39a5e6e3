//! Runs `etcdctl snapshot save` in the etcd container.

use std::time::{Duration, Instant};

use super::container::ContainerShell;
use super::remote_file::RemoteFile;
use crate::error::Error;
use crate::etcd::credentials::pod_paths::Credentials;
use crate::etcd::etcdctl;
use crate::etcd::etcdctl::error::etcdctl_error;
use crate::k8s::{ExecEvent, ExecOutput, KubeClient};
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::etcdctl_failure::{Cause, cause};
use crate::snapshot::request::Request;

/// Returns the first certificate that etcd accepts. With another one, `snapshot save` would wait without end or
/// message.
pub(super) async fn find_credentials<'r>(
    client: &KubeClient,
    request: &'r Request<'_>,
    shell: &ContainerShell,
) -> Result<&'r Credentials, TransportError> {
    let mut usable = request.credentials.iter().filter(|candidate| candidate.usable_in_etcd_container).peekable();
    if request.first_verified
        && let Some(first) = usable.peek()
    {
        return Ok(first);
    }
    let mut cause = "the pod's settings name no certificates".to_owned();
    for candidate in usable {
        let flags = [("dial-timeout", "3s"), ("command-timeout", "5s"), ("write-out", "json")];
        let command =
            etcdctl::command(request.member, candidate, request.endpoint.as_deref(), &["endpoint", "status"], &flags);
        let output = shell.exec(client, &command).await?;
        if output.success {
            return Ok(candidate);
        }
        cause = failure(output);
    }
    Err(not_possible(format!("etcd does not answer etcdctl in {}: {cause}", shell.place()))
        .hint("name a client certificate with --pod-cert, --pod-key and --pod-cacert (paths in the etcd container)"))
}

/// Lets etcdctl write the file.
pub(super) async fn save(
    client: &KubeClient,
    request: &Request<'_>,
    shell: &ContainerShell,
    credentials: &Credentials,
    file: &RemoteFile,
    path: &str,
) -> Result<(), TransportError> {
    let limit = request.limits.save_timeout(request.db_size);
    // etcdctl ends at its own timeout, even if the connection to it is gone.
    let timeout = format!("{}s", limit.as_secs().max(1));
    let command = etcdctl::command(
        request.member,
        credentials,
        request.endpoint.as_deref(),
        &["snapshot", "save", path],
        &[("command-timeout", &timeout)],
    );
    let place = shell.place();
    let started = file.write(client, shell, command).await;
    let mut running = started.map_err(|error| error.into_error("etcdctl", &place))?;
    let until = Instant::now() + limit + Duration::from_secs(5);
    let exited = loop {
        match running.next(until.saturating_duration_since(Instant::now())).await {
            Ok(ExecEvent::Stdout(_)) => {}
            Ok(ExecEvent::Exited(output)) => break output,
            Err(_) if Instant::now() >= until => {
                return Err(Error::failed(format!("etcdctl did not finish within {timeout} in {place}"))
                    .hint("choose another member with --member, because the disk is slow or etcd does not answer")
                    .into());
            }
            Err(cause) => {
                return Err(Error::failed(format!("lost the connection to etcdctl in {place}: {cause}")).into());
            }
        }
    };
    file.forget_writer();
    if exited.success {
        return Ok(());
    }
    let failure = failure(exited);
    Err(match cause(&failure) {
        Cause::NoSpace => Error::failed(format!("the file system of {place} is full: {failure}"))
            .hint("use --transport direct, which writes nothing there; what was written is deleted"),
        _ => Error::failed(format!("etcdctl failed in {place}: {failure}")),
    }
    .into())
}

/// Returns why etcdctl failed: its own message, else what the kubelet reports.
fn failure(output: ExecOutput) -> String {
    match etcdctl_error(&output.stderr) {
        message if message.is_empty() => output.reason,
        message => message,
    }
}
