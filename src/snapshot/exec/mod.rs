//! The transport `exec`: `etcdctl snapshot save` in the etcd container, whose file a second command prints.
//!
//! It needs only the permission to run commands there, and an image with a shell, which today's upstream image does not
//! have. A process that deletes the file is started before etcdctl.

pub mod container;
mod file_download;
mod reader;
pub mod remote_file;
mod remote_file_scripts;
mod save;
mod tools;

use std::time::Instant;

use container::ContainerShell;
use file_download::{FileDownload, FileDownloadContext};
use reader::Reader;
use remote_file::{RemoteFile, StartError};
use save::{find_credentials, save};
use tools::Directory;

use super::error::{TransportError, deadline_exceeded, explain_pod_change, not_possible};
use super::request::{RemoteLocation, Request, Taken};
use super::transport::Transport;
use super::unique_name::unique_name;
use super::writer::SnapshotWriter;
use crate::k8s::KubeClient;
use crate::util::events::Events;

/// Takes the snapshot and pushes its bytes to `writer`, which verifies the checksum.
pub async fn take(
    client: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter,
    file: &RemoteFile,
    events: &dyn Events,
) -> Result<Taken, TransportError> {
    let until = Instant::now() + request.limits.deadline;
    let shell = ContainerShell::new(request.member);
    let tools = shell.probe(client, request).await?;
    let reader = tools.reader().unwrap_or(Reader::Cat);
    let credentials = find_credentials(client, request, &shell).await?;
    let directories = tools.directories_with_space(request, &shell.place())?;
    let (path, directory) = guard_file(client, request, &shell, directories, file).await?;
    let mut warnings = Vec::new();
    if directory.free_space.is_none() {
        warnings.push(format!(
            "free space in {} of {} is unknown: the container has no df",
            directory.path,
            shell.place()
        ));
    }
    tracing::info!(%path, ?reader, certificates = credentials.origin, "the snapshot is written here");

    let copy = async {
        events.status("Saving the snapshot in the container");
        save(client, request, &shell, credentials, file, &path).await?;
        let size = match tools.size_script() {
            Some(script) => shell.run(client, script, &[&path]).await?.stdout.trim().parse().ok(),
            None => None,
        };
        let progress = events.copy_progress(size.or(request.db_size));
        let context = FileDownloadContext {
            client,
            request,
            shell: &shell,
            path: &path,
            reader,
            until,
            writer,
            progress: &*progress,
        };
        let copied = FileDownload::new(context, size).run().await;
        match copied {
            Ok(()) => progress.finish(),
            Err(_) => progress.abandon(),
        }
        copied
    };
    let copied = tokio::select! {
        copied = copy => copied,
        never = file.keep_extending_ttl(client) => match never {},
        () = tokio::time::sleep_until(until.into()) => Err(deadline_exceeded().into()),
    };
    match copied {
        Ok(()) => Ok(Taken { transport: Transport::Exec, location: Some(RemoteLocation::Container(path)), warnings }),
        Err(error) => Err(explain_pod_change(client, request, error).await),
    }
}

/// Starts the guard of a file in the first of `directories` where that works, and returns the file's path and its
/// directory.
async fn guard_file<'d>(
    client: &KubeClient,
    request: &Request<'_>,
    shell: &ContainerShell,
    directories: Vec<&'d Directory>,
    file: &RemoteFile,
) -> Result<(String, &'d Directory), TransportError> {
    let mut cause = String::new();
    for directory in directories {
        let path = format!("{}/{}.db", directory.path, unique_name());
        match file.start_guard(client, shell, &path, request.limits.job_ttl, request.limits.deadline).await {
            Ok(()) => return Ok((path, directory)),
            Err(StartError::Command(why)) => cause = why,
            Err(StartError::Api(error)) => return Err(error.into()),
        }
        file.remove(client).await?;
    }
    Err(not_possible(format!("cannot start the process that deletes the file in {}: {cause}", shell.place())))
}
