//! What the etcd container offers to the transport `exec`: a shell, tools, and a directory with room.
//!
//! Images differ: the upstream one holds no shell at all, older ones a shell without `cat`. Nothing is taken for
//! granted but what answered. Paths go to scripts as arguments, so no name of a directory can become a command.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::VolumeMount;

use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::{ApiError, ExecOutput, ExecStream, KubeClient};
use crate::snapshot::node::pod::storage_limit_below;
use crate::snapshot::request::Request;
use crate::util::byte_size::decimal_bytes;
use crate::util::quantity::parse_quantity;

/// How long a short command may take.
const SHORT: Duration = Duration::from_secs(20);

/// Prints `tool NAME` for each tool that is there, and `dir PATH`, followed by what `df` says, for each directory that
/// can be written to.
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

/// The etcd container of the member.
#[derive(Debug, Clone)]
pub struct Shell {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tools {
    names: Vec<String>,
    /// Directories, best first.
    pub directories: Vec<Directory>,
}

/// A directory of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub path: String,
    /// Bytes that are free, and all that the file system has; `None` without `df`.
    pub room: Option<(u64, u64)>,
    /// Its files are in memory.
    pub in_memory: bool,
}

/// Ends the process that prints `$1`, if one is left. The kubelet lets a command live on when its connection is gone: one
/// that prints waits for ever then, and holds the space of a file that is deleted.
pub const END_READER: &str = r#"umask 077; p=
[ ! -r "$1.pid" ] || read -r p < "$1.pid"
[ -z "$p" ] || kill "$p" 2>/dev/null"#;

/// How a file is printed from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Tail,
    Dd,
    /// From the start only.
    Cat,
    /// From the start only.
    Cp,
}

/// Blocks in which `dd` counts.
const BLOCK: u64 = 1 << 16;

impl Shell {
    pub fn of(request: &Request<'_>) -> Self {
        let member = request.member;
        Shell {
            namespace: member.namespace.clone(),
            pod: member.pod_name.clone(),
            container: member.container.name.clone(),
        }
    }

    /// For sentences.
    pub fn place(&self) -> String {
        format!("container {} of pod {}/{}", self.container, self.namespace, self.pod)
    }

    /// Runs a script to its end.
    pub async fn run(&self, cluster: &KubeClient, script: &str, args: &[&str]) -> Result<ExecOutput, ApiError> {
        cluster.exec(&self.namespace, &self.pod, &self.container, &command(script, args), SHORT).await
    }

    /// Starts a script whose output is read as it comes.
    pub async fn start(&self, cluster: &KubeClient, script: &str, args: &[&str]) -> Result<ExecStream, ApiError> {
        cluster.start(&self.namespace, &self.pod, &self.container, &command(script, args)).await
    }

    /// Asks what there is.
    ///
    /// # Errors
    /// Not possible without a shell, `rm` and `sleep`, or without any way to print a file: then a file could be left
    /// behind, or not be fetched.
    pub async fn probe(&self, cluster: &KubeClient, request: &Request<'_>) -> Result<Tools> {
        let data = request.member.settings.get("data-dir");
        let mounts = request.member.container.volume_mounts.iter().flatten();
        // The directory of etcd's own data comes last: it must not fill up.
        let mut more: Vec<&str> = mounts
            .filter(|mount| mount.read_only != Some(true) && mount.sub_path.is_none())
            .map(|mount| mount.mount_path.as_str())
            .collect();
        more.sort_by_key(|path| data.is_some_and(|data| data.starts_with(path)));
        let output = self.run(cluster, PROBE, &more).await?;
        if !output.success && output.stdout.is_empty() {
            let why = if output.reason.is_empty() { &output.stderr } else { &output.reason };
            return Err(Error::not_possible(format!("{} runs no shell: {}", self.place(), why.trim())));
        }
        let mut tools = parse(&output.stdout);
        tools.spare_etcd(request.member, request.db_size, &self.place())?;
        for needed in ["rm", "sleep"] {
            if !tools.has(needed) {
                return Err(Error::not_possible(format!(
                    "{} has no {needed}, so a snapshot that is written there might stay there",
                    self.place()
                )));
            }
        }
        if tools.reader().is_none() {
            return Err(Error::not_possible(format!("{} has nothing that prints a file", self.place())));
        }
        Ok(tools)
    }
}

fn command(script: &str, args: &[&str]) -> Vec<String> {
    ["sh", "-c", script, "sh"].iter().chain(args).map(|word| (*word).to_owned()).collect()
}

fn parse(output: &str) -> Tools {
    let mut tools = Tools::default();
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("tool ") {
            tools.names.push(name.to_owned());
        } else if let Some(path) = line.strip_prefix("dir ") {
            if path.starts_with('/') && !tools.directories.iter().any(|known| known.path == path) {
                tools.directories.push(Directory {
                    path: path.trim_end_matches('/').to_owned(),
                    room: None,
                    in_memory: false,
                });
            }
        } else if let Some(directory) = tools.directories.last_mut() {
            directory.room = directory.room.or_else(|| room(line));
            directory.in_memory |= ["tmpfs ", "shm ", "ramfs "].iter().any(|kind| line.starts_with(kind));
        }
    }
    tools
}

/// Why a file in this directory would do harm, in words that follow its name.
fn danger(directory: &Directory, member: &Member, db_size: Option<u64>) -> Option<String> {
    let mounts = member.container.volume_mounts.iter().flatten();
    let holds = |mount: &&VolumeMount| Path::new(&directory.path).starts_with(&mount.mount_path);
    let mount = mounts.filter(holds).max_by_key(|mount| mount.mount_path.len());
    let spec = member.pod.spec.as_ref();
    let volume = mount.and_then(|mount| spec?.volumes.iter().flatten().find(|volume| volume.name == mount.name));
    let empty_dir = volume.and_then(|volume| volume.empty_dir.as_ref());
    if directory.in_memory || empty_dir.is_some_and(|volume| volume.medium.as_deref() == Some("Memory")) {
        return Some("is in memory, which etcd needs itself".to_owned());
    }
    let needed = db_size? / 10 * 12;
    let limited = |limit: &str| format!("is limited to {limit}, and {} are needed", decimal_bytes(needed));
    if let Some(limit) = empty_dir.and_then(|volume| volume.size_limit.as_ref())
        && parse_quantity(&limit.0).is_some_and(|bytes| bytes < needed)
    {
        return Some(limited(&limit.0));
    }
    // Other volumes are not the kubelet's to count.
    if mount.is_some() && empty_dir.is_none() {
        return None;
    }
    let mut pod = member.pod.clone();
    pod.spec.as_mut()?.containers.retain(|container| container.name == member.container.name);
    storage_limit_below(&pod, needed).map(|limit| limited(&limit))
}

/// A line of `df -Pk`: file system, blocks of 1024 bytes, used, available, capacity in percent, mount point.
fn room(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().rposition(|word| word.ends_with('%') && word.len() > 1)?;
    let blocks = |back: usize| words.get(percent.checked_sub(back)?)?.parse::<u64>().ok()?.checked_mul(1024);
    Some((blocks(1)?, blocks(3)?))
}

impl Tools {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub fn reader(&self) -> Option<Reader> {
        let known = [("tail", Reader::Tail), ("dd", Reader::Dd), ("cat", Reader::Cat), ("cp", Reader::Cp)];
        known.into_iter().find(|(name, _)| self.has(name)).map(|(_, reader)| reader)
    }

    /// The script that prints the size of `$1`.
    pub fn size(&self) -> Option<&'static str> {
        if self.has("stat") { Some(r#"stat -c %s "$1""#) } else { self.has("wc").then_some(r#"wc -c < "$1""#) }
    }

    /// Drops the directories in which the file would kill the etcd that it is read from: what lies in memory counts against
    /// the container's limit of memory, and for what goes beyond a limit of storage the kubelet evicts the pod.
    fn spare_etcd(&mut self, member: &Member, db_size: Option<u64>, place: &str) -> Result<()> {
        let mut last = None;
        self.directories.retain(|directory| match danger(directory, member, db_size) {
            Some(why) => {
                last = Some(format!("{} {why}", directory.path));
                false
            }
            None => true,
        });
        match last {
            Some(why) if self.directories.is_empty() => {
                Err(Error::not_possible(format!("{place} has no directory that may take the snapshot: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// The directories with room for a database of `db_size` bytes: that and a tenth, and a tenth of the file system
    /// for etcd itself. Where `df` is missing nobody knows; then etcd's own disk is no place.
    ///
    /// # Errors
    /// None has room.
    pub fn with_room(&self, db_size: Option<u64>, data: Option<&str>, place: &str) -> Result<Vec<&Directory>> {
        let Some(first) = self.directories.first() else {
            return Err(Error::not_possible(format!("{place} has no directory that can be written to")));
        };
        let needed = |size: u64| db_size.unwrap_or_default() / 10 * 11 + size / 10;
        let fits = |directory: &&Directory| match directory.room {
            Some((available, size)) => available >= needed(size),
            None => !data.is_some_and(|data| data.starts_with(&directory.path)),
        };
        let found: Vec<&Directory> = self.directories.iter().filter(fits).collect();
        if found.is_empty() {
            let (available, size) = first.room.unwrap_or_default();
            return Err(Error::failed(format!(
                "too little room in {place}: {} are free in {}, and {} are needed (the database and a tenth, and a tenth of the file system for etcd itself)",
                decimal_bytes(available),
                first.path,
                decimal_bytes(needed(size))
            ))
            .hint("nothing was written; make room, choose another member with --member, or use --transport direct"));
        }
        Ok(found)
    }
}

impl Reader {
    /// The script that prints `$1`; `$2` says from where.
    pub fn script(self) -> String {
        let script = match self {
            Reader::Tail => r#"exec tail -c "+$2" "$1""#,
            Reader::Dd => r#"exec dd if="$1" bs=65536 skip="$2""#,
            Reader::Cat => r#"exec cat "$1""#,
            Reader::Cp => r#"exec cp "$1" /dev/stdout"#,
        };
        format!("{END_READER}\necho $$ > \"$1.pid\"\n{script}")
    }

    /// `$2` of the script to read from `offset` on, and how many bytes come before that.
    pub fn from(self, offset: u64) -> (String, u64) {
        match self {
            Reader::Tail => ((offset + 1).to_string(), 0),
            Reader::Dd => ((offset / BLOCK).to_string(), offset % BLOCK),
            Reader::Cat | Reader::Cp => (String::new(), offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::member::tests::pod;

    const BUSYBOX: &str = "tool cat\ntool tail\ntool rm\ntool sleep\ndir /tmp\nFilesystem 1024-blocks Used Available Capacity Mounted on\noverlay 100000 40000 60000 40% /\ndir /tmp\ndir /var/lib/etcd\n";

    #[test]
    fn the_probe_is_read() {
        let tools = parse(BUSYBOX);
        assert!(tools.has("rm") && !tools.has("dd"));
        assert_eq!(tools.reader(), Some(Reader::Tail));
        assert_eq!(
            tools.directories[0],
            Directory { path: "/tmp".to_owned(), room: Some((61_440_000, 102_400_000)), in_memory: false }
        );
        assert_eq!(tools.directories.len(), 2);
    }

    #[test]
    fn a_directory_without_room_is_none() {
        let tools = parse(BUSYBOX);
        let found = tools.with_room(Some(10_000_000), Some("/var/lib/etcd"), "here").expect("there is room");
        assert_eq!(found.len(), 1, "etcd's own disk is no place when its room is unknown");
        let error = tools.with_room(Some(60_000_000), Some("/var/lib/etcd"), "here").expect_err("no room");
        assert!(error.message().starts_with("too little room in here") && !error.allows_another_way());
    }

    /// A directory `/tmp` on a file system of this kind, in a container with these resources, where this volume is mounted.
    fn spared(kind: &str, resources: serde_json::Value, volume: serde_json::Value) -> Result<usize> {
        let mut pod = pod("etcd-cp1", &["etcd"], true);
        let spec = pod.spec.as_mut().expect("it has one");
        spec.containers[0].resources = serde_json::from_value(resources).expect("resources");
        if !volume.is_null() {
            let mount = serde_json::json!([{"name": "scratch", "mountPath": "/tmp"}]);
            spec.containers[0].volume_mounts = serde_json::from_value(mount).expect("mounts");
            spec.volumes = serde_json::from_value(serde_json::json!([volume])).expect("volumes");
        }
        let member = Member::from_pod(pod).expect("it runs etcd");
        let mut tools = parse(&format!("dir /tmp\n{kind} 100000 40000 60000 40% /tmp\n"));
        tools.spare_etcd(&member, Some(1_000_000_000), "here").map(|()| tools.directories.len())
    }

    #[test]
    fn a_directory_whose_file_would_kill_etcd_is_none() {
        use serde_json::json;
        let limit = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
        let empty_dir = |of: serde_json::Value| json!({"name": "scratch", "emptyDir": of});
        let refused = |spared: Result<usize>| spared.expect_err("it would do harm").message().to_owned();
        assert_eq!(spared("overlay", json!({}), json!(null)).ok(), Some(1));
        for kind in ["tmpfs", "shm"] {
            assert!(refused(spared(kind, json!({}), json!(null))).contains("/tmp is in memory"));
        }
        assert!(refused(spared("overlay", json!({}), empty_dir(json!({"medium": "Memory"})))).contains("is in memory"));
        assert!(refused(spared("overlay", limit("1Gi"), json!(null))).contains("/tmp is limited to 1Gi"));
        assert_eq!(spared("overlay", limit("2Gi"), json!(null)).ok(), Some(1));
        assert!(refused(spared("ext4", json!({}), empty_dir(json!({"sizeLimit": "1Gi"})))).contains("limited to 1Gi"));
        assert!(refused(spared("ext4", limit("1Gi"), empty_dir(json!({})))).contains("limited to 1Gi"));
        let host = json!({"name": "scratch", "hostPath": {"path": "/mnt"}});
        assert_eq!(spared("ext4", limit("1Gi"), host).ok(), Some(1));
    }

    #[test]
    fn each_reader_starts_at_the_offset() {
        assert_eq!(Reader::Tail.from(0), ("1".to_owned(), 0));
        assert_eq!(Reader::Tail.from(100), ("101".to_owned(), 0));
        assert_eq!(Reader::Dd.from(65_536 * 3 + 7), ("3".to_owned(), 7));
        assert_eq!(Reader::Cat.from(9).1, 9);
    }
}
