//! What a run has on the cluster, so that no way out forgets it: a job, or a file in the etcd container.
//!
//! The file has a guard: a small shell in the container that removes it unless it is told, again and again, that
//! somebody still wants it. It is there before the file, so a workstation that dies at any moment leaves nothing for
//! long. It is the process of an exec of its own, which the container runtime collects when it ends; one that was
//! started in the background would stay in etcd's container as a zombie, because etcd collects no children.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::exec::container::{END_READER, Shell};
use super::node::job_handle::{JobHandle, STARTING, TakeGuard};
use crate::error::{Error, Result};
use crate::k8s::{ApiError, ContainerRef, ExecEvent, ExecStream, KubeClient};

/// Everything that exists on the cluster because of this run.
#[derive(Debug, Clone, Default)]
pub struct RemoteResources {
    pub(super) job: JobHandle,
    pub(super) file: RemoteFile,
}

impl RemoteResources {
    /// There is something to remove.
    pub fn is_there(&self) -> bool {
        self.job.is_there() || self.file.is_there()
    }

    /// Something has been asked for, even if it is gone already.
    pub fn was_used(&self) -> bool {
        self.job.was_used() || self.file.was_used()
    }

    /// What that is.
    pub fn what(&self) -> &'static str {
        if self.file.was_used() { "the file from the etcd container" } else { "the job from the cluster" }
    }

    /// Removes all of it and waits until it is gone. Does nothing when there is nothing.
    ///
    /// # Errors
    /// Something is still there; the sentence says where, for how long at most, and how to remove it.
    pub async fn remove(&self, cluster: &KubeClient) -> Result<()> {
        let (job, file) = tokio::join!(self.job.remove(cluster), self.file.remove(cluster));
        job.and(file)
    }
}

/// `$1` is the file, `$2` how long it may stay without a word, `$3` how often that may be prolonged.
const GUARD: &str = r#"f=$1; l=$1.lease; s=
umask 077
(: > "$l") 2>/dev/null || { echo "cannot write to $l"; exit 1; }
end() {
  [ -z "$s" ] || kill "$s" 2>/dev/null
  wait
  end_reader "$f"
  rm -f "$f" "$f.part" "$f.pid" "$l"
  exit 0
}
trap end TERM
trap '' HUP INT PIPE
echo "pid $$"
exec >/dev/null 2>&1
n=$3
while [ "$n" -gt 0 ] && [ -e "$l" ]; do
  rm -f "$l"
  n=$((n - 1))
  sleep "$2" & s=$!
  wait "$s"
done
s=
end"#;

/// `$1` is the file, `$2` the guard, `$3` an etcdctl that still runs. Says "left NAME" of what is still there.
const REMOVE: &str = r#"f=$1
[ -z "$3" ] || kill "$3" 2>/dev/null
[ -z "$2" ] || kill "$2" 2>/dev/null
end_reader "$f"
rm -f "$f" "$f.part" "$f.pid" "$f.lease" || echo "rm failed" >&2
for x in "$f" "$f.part" "$f.pid" "$f.lease"; do [ ! -e "$x" ] || echo "left $x"; done
echo gone"#;

/// A script in front of which the function `end_reader` stands.
fn with_end_reader(script: &str) -> String {
    format!("end_reader() {{\n{END_READER}\n}}\n{script}")
}

/// `$1` is the file: it is still wanted.
const RENEW: &str = r#"umask 077; : > "$1.lease""#;

/// Runs the words after `sh`, after saying which process that is.
const TELLING: &str = r#"echo "pid $$"; exec "$@""#;

/// How long to wait for the removal before saying that the file is still there.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a command may take to start.
const START: Duration = Duration::from_secs(20);

/// The file in the etcd container that exists because of this run, if there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct RemoteFile {
    current: Arc<Mutex<Option<Remote>>>,
    used: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Remote {
    shell: Shell,
    path: String,
    lease: Duration,
    guard: Option<String>,
    etcdctl: Option<String>,
    /// Commands that are being started. They run apart, so that an interruption cannot drop them half-way.
    starting: Vec<JoinHandle<()>>,
}

type Started = Result<Result<ExecStream, String>, ApiError>;

impl RemoteFile {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Remote>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_there(&self) -> bool {
        self.slot().is_some()
    }

    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets up the guard of `path`, which need not exist yet; it is remembered from before that. The inner error says
    /// why the container did not start it.
    pub(super) async fn guard(
        &self,
        cluster: &KubeClient,
        shell: &Shell,
        path: &str,
        lease: Duration,
        deadline: Duration,
    ) -> Result<Result<(), String>, ApiError> {
        self.used.store(true, Ordering::Relaxed);
        *self.slot() = Some(Remote {
            shell: shell.clone(),
            path: path.to_owned(),
            lease,
            guard: None,
            etcdctl: None,
            starting: Vec::new(),
        });
        let seconds = lease.as_secs().max(1);
        let rounds = deadline.as_secs() / seconds + 2;
        let args = vec![path.to_owned(), seconds.to_string(), rounds.to_string()];
        let started =
            self.start(cluster, shell, with_end_reader(GUARD), args, |remote, pid| remote.guard = Some(pid)).await?;
        Ok(started.map(drop))
    }

    /// Starts a command that writes the file.
    pub(super) async fn write(&self, cluster: &KubeClient, shell: &Shell, command: Vec<String>) -> Started {
        self.start(cluster, shell, TELLING.to_owned(), command, |remote, pid| remote.etcdctl = Some(pid)).await
    }

    /// The command that writes has ended, so its process's number may belong to another one soon.
    pub(super) fn written(&self) {
        if let Some(remote) = self.slot().as_mut() {
            remote.etcdctl = None;
        }
    }

    async fn start(
        &self,
        cluster: &KubeClient,
        shell: &Shell,
        script: String,
        args: Vec<String>,
        note: fn(&mut Remote, String),
    ) -> Started {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (this, cluster, shell) = (self.clone(), cluster.clone(), shell.clone());
        let starting = tokio::spawn(async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let started = match shell.start(&cluster, &script, &args).await {
                Ok(mut command) => Ok(match pid(&mut command).await {
                    Ok(pid) => {
                        if let Some(remote) = this.slot().as_mut() {
                            note(remote, pid);
                        }
                        Ok(command)
                    }
                    Err(why) => Err(why),
                }),
                Err(failure) => Err(failure),
            };
            // Nobody listens any more after an interruption; what was started is removed all the same.
            let _ = answer.send(started);
        });
        if let Some(remote) = self.slot().as_mut() {
            remote.starting.push(starting);
        }
        answered.await.unwrap_or_else(|_| Ok(Err("the request to start it was lost".to_owned())))
    }

    /// Tells the guard, from time to time, that the file is still wanted.
    pub(super) async fn keep(&self, cluster: &KubeClient) -> Infallible {
        loop {
            let Some((shell, path, lease)) =
                self.slot().as_ref().map(|remote| (remote.shell.clone(), remote.path.clone(), remote.lease))
            else {
                return std::future::pending().await;
            };
            tokio::time::sleep((lease / 10).max(Duration::from_millis(200))).await;
            match shell.run(cluster, RENEW, &[&path]).await {
                Ok(output) if output.success => {}
                Ok(output) => tracing::info!(reason = %output.reason, "the file's time could not be renewed"),
                Err(failure) => tracing::info!(error = %failure.error(), "the file's time could not be renewed"),
            }
        }
    }

    /// Removes the file, ends its guard, and makes sure that both are gone.
    pub(super) async fn remove(&self, cluster: &KubeClient) -> Result<()> {
        let starting: Vec<_> =
            self.slot().as_mut().map(|remote| remote.starting.drain(..).collect()).unwrap_or_default();
        for starting in starting {
            let _ = tokio::time::timeout(PATIENCE, starting).await;
        }
        let mut held = TakeGuard::of(&self.current);
        let Some(remote) = &held.value else {
            return Ok(());
        };
        let start = Instant::now();
        let (guard, etcdctl) = (remote.guard.as_deref().unwrap_or(""), remote.etcdctl.as_deref().unwrap_or(""));
        let why = loop {
            let why = match remote.shell.run(cluster, &with_end_reader(REMOVE), &[&remote.path, guard, etcdctl]).await {
                Ok(output) if output.stdout.trim() == "gone" => {
                    held.value = None;
                    return Ok(());
                }
                Ok(output) if output.stdout.contains("gone") => {
                    let said = output.stderr.lines().find(|line| *line != "rm failed").unwrap_or("it is still there");
                    said.to_owned()
                }
                Ok(output) => output.reason,
                Err(failure) if failure.is_not_found() => {
                    held.value = None;
                    return Ok(());
                }
                // Commands have been run in this container before.
                Err(failure) if failure.is_transient_once_allowed() && start.elapsed() < STARTING => {
                    failure.error().message().to_owned()
                }
                Err(failure) if !failure.is_transient() => break failure.error().message().to_owned(),
                Err(failure) => failure.error().message().to_owned(),
            };
            if start.elapsed() > PATIENCE {
                break why;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let Some(Remote { shell, path, lease, .. }) = held.value.take() else {
            return Ok(());
        };
        Err(Error::failed(format!("{path} in {} could not be removed: {why}", shell.place())).hint(format!(
            "it holds Secrets; if its guard there still runs, it goes within {}, else: {}",
            humantime::format_duration(lease * 2),
            by_hand(&shell, &path)
        )))
    }
}

/// The command line that removes the file and all that belongs to it.
fn by_hand(shell: &Shell, path: &str) -> String {
    let files = ["", ".part", ".pid", ".lease"].map(|ending| quoted(&format!("{path}{ending}")));
    let ContainerRef { namespace, pod, container } = &shell.container;
    let [namespace, pod, container] = [namespace, pod, container].map(|name| quoted(name));
    format!("kubectl exec -n {namespace} {pod} -c {container} -- rm -f {}", files.join(" "))
}

/// A word as a shell reads it: what comes from a container may hold anything.
fn quoted(word: &str) -> String {
    if word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The first line of a command, `pid NUMBER`.
async fn pid(command: &mut ExecStream) -> Result<String, String> {
    let start = Instant::now();
    let mut said = String::new();
    loop {
        match command.next(START.saturating_sub(start.elapsed())).await? {
            ExecEvent::Stdout(bytes) if said.len() < 1000 => said.push_str(&String::from_utf8_lossy(&bytes)),
            ExecEvent::Stdout(_) => return Err("it says something else than it should".to_owned()),
            ExecEvent::Exited(output) => {
                let words = [said.trim(), output.stderr.trim(), output.reason.trim()];
                return Err(words.into_iter().find(|words| !words.is_empty()).unwrap_or("it ended").to_owned());
            }
        }
        if let Some((line, _)) = said.split_once('\n') {
            let pid = line.strip_prefix("pid ").map(str::trim).unwrap_or_default();
            // 1 is etcd itself.
            return match pid.parse::<u32>() {
                Ok(number) if number > 1 => Ok(number.to_string()),
                _ => Err(format!("it says \"{}\"", line.chars().take(100).collect::<String>())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_removes_by_hand_names_every_file_and_lets_no_name_be_a_command() {
        let shell = Shell {
            container: ContainerRef {
                namespace: "kube-system".into(),
                pod: "etcd-cp1".into(),
                container: "etcd".into(),
            },
        };
        assert_eq!(
            by_hand(&shell, "/tmp/x.db"),
            "kubectl exec -n kube-system etcd-cp1 -c etcd -- rm -f /tmp/x.db /tmp/x.db.part /tmp/x.db.pid /tmp/x.db.lease"
        );
        assert!(by_hand(&shell, "/a b;'/x").contains(r"rm -f '/a b;'\''/x' '/a b;'\''/x.part'"));
    }
}
