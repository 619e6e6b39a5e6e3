//! The file in the etcd container, and the process there that deletes it if this run cannot.
//!
//! The guard is a small shell in the container. It deletes the file unless this run extends its TTL again and again. It
//! starts before the file is written, so a client that dies at any moment leaves nothing for long. It is the process of
//! an exec of its own, because the container runtime reaps that; a process in the background of another exec would stay
//! in etcd's container as a zombie, because etcd reaps no children.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::container::ContainerShell;
use super::remote_file_scripts::{
    EXTEND_TTL, GUARD, PRINT_PID_AND_RUN, REMOVE, manual_delete_command, with_end_reader,
};
use crate::error::{Error, Result};
use crate::k8s::{ApiError, ExecEvent, ExecStream, KubeClient};
use crate::snapshot::error::TransportError;
use crate::snapshot::removal::{API_SERVER_START, REMOVAL_TIMEOUT, TakeGuard};

/// How long a command may take to start.
const START: Duration = Duration::from_secs(20);

/// The file in the etcd container that exists because of this run, if there is one.
#[derive(Debug, Clone, Default)]
pub struct RemoteFile {
    current: Arc<Mutex<Option<Remote>>>,
    was_created: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Remote {
    shell: ContainerShell,
    path: String,
    /// How long the guard keeps the file after the last extension.
    ttl: Duration,
    /// Process number of the guard.
    guard: Option<String>,
    /// Process number of etcdctl.
    etcdctl: Option<String>,
    /// Commands that are being started. They are tasks, so that an interruption cannot drop them half-way.
    starting: Vec<JoinHandle<()>>,
}

/// Why a command did not start.
#[derive(Debug)]
pub enum StartError {
    /// The request failed.
    Api(ApiError),
    /// The container did not run the command as expected.
    Command(String),
}

impl StartError {
    /// Returns the error for `what` in `place`, which could not be started.
    pub fn into_error(self, what: &str, place: &str) -> TransportError {
        match self {
            StartError::Api(error) => error.into(),
            StartError::Command(cause) => Error::failed(format!("cannot start {what} in {place}: {cause}")).into(),
        }
    }
}

impl RemoteFile {
    fn slot(&self) -> MutexGuard<'_, Option<Remote>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn exists(&self) -> bool {
        self.slot().is_some()
    }

    pub fn was_created(&self) -> bool {
        self.was_created.load(Ordering::Relaxed)
    }

    /// Starts the guard of `path`, which need not exist yet. The path is remembered before the request is sent.
    pub async fn start_guard(
        &self,
        client: &KubeClient,
        shell: &ContainerShell,
        path: &str,
        ttl: Duration,
        deadline: Duration,
    ) -> Result<(), StartError> {
        self.was_created.store(true, Ordering::Relaxed);
        *self.slot() = Some(Remote {
            shell: shell.clone(),
            path: path.to_owned(),
            ttl,
            guard: None,
            etcdctl: None,
            starting: Vec::new(),
        });
        let seconds = ttl.as_secs().max(1);
        let rounds = deadline.as_secs() / seconds + 2;
        let args = vec![path.to_owned(), seconds.to_string(), rounds.to_string()];
        self.start(client, shell, with_end_reader(GUARD), args, |remote, pid| remote.guard = Some(pid)).await?;
        Ok(())
    }

    /// Starts a command that writes the file.
    pub async fn write(
        &self,
        client: &KubeClient,
        shell: &ContainerShell,
        command: Vec<String>,
    ) -> Result<ExecStream, StartError> {
        let note = |remote: &mut Remote, pid| remote.etcdctl = Some(pid);
        self.start(client, shell, PRINT_PID_AND_RUN.to_owned(), command, note).await
    }

    /// Forgets the process number of the command that wrote the file, because another process may get it.
    pub fn forget_writer(&self) {
        if let Some(remote) = self.slot().as_mut() {
            remote.etcdctl = None;
        }
    }

    async fn start(
        &self,
        client: &KubeClient,
        shell: &ContainerShell,
        script: String,
        args: Vec<String>,
        note: fn(&mut Remote, String),
    ) -> Result<ExecStream, StartError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (this, client, shell) = (self.clone(), client.clone(), shell.clone());
        let starting = tokio::spawn(async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            // After an interruption nothing receives the answer, but the process number is noted.
            let _ = answer.send(match shell.start(&client, &script, &args).await {
                Ok(mut command) => match read_pid(&mut command).await {
                    Ok(pid) => {
                        if let Some(remote) = this.slot().as_mut() {
                            note(remote, pid);
                        }
                        Ok(command)
                    }
                    Err(cause) => Err(StartError::Command(cause)),
                },
                Err(failure) => Err(StartError::Api(failure)),
            });
        });
        if let Some(remote) = self.slot().as_mut() {
            remote.starting.push(starting);
        }
        answered.await.unwrap_or_else(|_| Err(StartError::Command("the request to start it was lost".to_owned())))
    }

    /// Extends the TTL of the file from time to time, so that the guard keeps it.
    pub async fn keep_extending_ttl(&self, client: &KubeClient) -> Infallible {
        loop {
            let Some((shell, path, ttl)) =
                self.slot().as_ref().map(|remote| (remote.shell.clone(), remote.path.clone(), remote.ttl))
            else {
                return std::future::pending().await;
            };
            tokio::time::sleep((ttl / 10).max(Duration::from_millis(200))).await;
            match shell.run(client, EXTEND_TTL, &[&path]).await {
                Ok(output) if output.success => {}
                Ok(output) => tracing::info!(reason = %output.reason, "cannot extend the TTL of the file"),
                Err(failure) => tracing::info!(error = %failure.error(), "cannot extend the TTL of the file"),
            }
        }
    }

    /// Deletes the file, ends its guard, and checks that both are gone.
    ///
    /// # Errors
    /// The file still exists; the hint says for how long at most, and how to delete it.
    pub async fn remove(&self, client: &KubeClient) -> Result<()> {
        let starting: Vec<_> =
            self.slot().as_mut().map(|remote| remote.starting.drain(..).collect()).unwrap_or_default();
        for starting in starting {
            let _ = tokio::time::timeout(REMOVAL_TIMEOUT, starting).await;
        }
        let mut held = TakeGuard::new(&self.current);
        let Some(remote) = &held.value else {
            return Ok(());
        };
        let start = Instant::now();
        let cause = loop {
            let cause = match remote.try_remove(client, start).await {
                Removal::Done => {
                    held.value = None;
                    return Ok(());
                }
                Removal::Retry(cause) => cause,
                Removal::Refused(cause) => break cause,
            };
            if start.elapsed() > REMOVAL_TIMEOUT {
                break cause;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let Some(Remote { shell, path, ttl, .. }) = held.value.take() else {
            return Ok(());
        };
        Err(Error::failed(format!("cannot delete {path} in {}: {cause}", shell.place())).hint(format!(
            "the file contains Secrets; it is deleted within {} if its cleanup process is still running, otherwise run: {}",
            humantime::format_duration(ttl * 2),
            manual_delete_command(&shell, &path)
        )))
    }
}

/// How one try to delete the file ended.
enum Removal {
    Done,
    /// It failed for a reason that may pass.
    Retry(String),
    Refused(String),
}

impl Remote {
    /// Tries once to delete the file; `start` is when the first try began.
    async fn try_remove(&self, client: &KubeClient, start: Instant) -> Removal {
        let (guard, etcdctl) = (self.guard.as_deref().unwrap_or(""), self.etcdctl.as_deref().unwrap_or(""));
        match self.shell.run(client, &with_end_reader(REMOVE), &[&self.path, guard, etcdctl]).await {
            Ok(output) if output.stdout.trim() == "gone" => Removal::Done,
            Ok(output) if output.stdout.contains("gone") => {
                let cause = output.stderr.lines().find(|line| *line != "rm failed").unwrap_or("it still exists");
                Removal::Retry(cause.to_owned())
            }
            Ok(output) => Removal::Retry(output.reason),
            Err(failure) if failure.is_not_found() => Removal::Done,
            // Commands were allowed in this container before.
            Err(failure) if failure.is_transient_once_allowed() && start.elapsed() < API_SERVER_START => {
                Removal::Retry(failure.error().message().to_owned())
            }
            Err(failure) if !failure.is_transient() => Removal::Refused(failure.error().message().to_owned()),
            Err(failure) => Removal::Retry(failure.error().message().to_owned()),
        }
    }
}

/// Reads the first line of a command, `pid NUMBER`, and returns the number.
async fn read_pid(command: &mut ExecStream) -> Result<String, String> {
    let start = Instant::now();
    let mut output = String::new();
    loop {
        match command.next(START.saturating_sub(start.elapsed())).await? {
            ExecEvent::Stdout(bytes) if output.len() < 1000 => output.push_str(&String::from_utf8_lossy(&bytes)),
            ExecEvent::Stdout(_) => return Err("unexpected output".to_owned()),
            ExecEvent::Exited(exited) => {
                let causes = [output.trim(), exited.stderr.trim(), exited.reason.trim()];
                return Err(causes.into_iter().find(|cause| !cause.is_empty()).unwrap_or("it exited").to_owned());
            }
        }
        if let Some((line, _)) = output.split_once('\n') {
            return parse_pid(line);
        }
    }
}

fn parse_pid(line: &str) -> Result<String, String> {
    match line.strip_prefix("pid ").map(str::trim).unwrap_or_default().parse::<u32>() {
        // 1 is etcd itself.
        Ok(number) if number > 1 => Ok(number.to_string()),
        _ => Err(format!("unexpected output \"{}\"", line.chars().take(100).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_another_process_than_etcd_is_a_pid() {
        assert_eq!(parse_pid("pid 17\r").as_deref(), Ok("17"));
        for line in ["pid 1", "pid 0", "pid -4", "pid 7; rm", "17", ""] {
            assert!(parse_pid(line).is_err(), "{line}");
        }
    }
}
