//! The tools and directories of the etcd container, and which directories are suitable for the snapshot.

use std::path::Path;

use k8s_openapi::api::core::v1::VolumeMount;

use super::reader::Reader;
use crate::error::{Error, Result};
use crate::etcd::Member;
use crate::k8s::DiskSpace;
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::headroom::{required_free_space, required_limit, storage_limit_below};
use crate::snapshot::request::Request;
use crate::util::byte_size::decimal_bytes;
use crate::util::quantity::parse_quantity;

/// What the container offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tools {
    names: Vec<String>,
    /// Best first.
    directories: Vec<Directory>,
}

/// A directory of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub path: String,
    /// `None` without `df`.
    pub free_space: Option<DiskSpace>,
    /// Its files are in memory.
    in_memory: bool,
}

impl Tools {
    /// Reads the output of the probe script.
    pub fn parse(output: &str) -> Self {
        let mut tools = Tools::default();
        for line in output.lines() {
            if let Some(name) = line.strip_prefix("tool ") {
                tools.names.push(name.to_owned());
            } else if let Some(path) = line.strip_prefix("dir ") {
                if path.starts_with('/') && !tools.directories.iter().any(|known| known.path == path) {
                    tools.directories.push(Directory {
                        path: path.trim_end_matches('/').to_owned(),
                        free_space: None,
                        in_memory: false,
                    });
                }
            } else if let Some(directory) = tools.directories.last_mut() {
                directory.free_space = directory.free_space.or_else(|| parse_df(line));
                directory.in_memory |= ["tmpfs ", "shm ", "ramfs "].iter().any(|kind| line.starts_with(kind));
            }
        }
        tools
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Returns the best tool that prints a file.
    pub fn reader(&self) -> Option<Reader> {
        let known = [("tail", Reader::Tail), ("dd", Reader::Dd), ("cat", Reader::Cat), ("cp", Reader::Cp)];
        known.into_iter().find(|(name, _)| self.has(name)).map(|(_, reader)| reader)
    }

    /// Returns the script that prints the size of `$1`.
    pub fn size_script(&self) -> Option<&'static str> {
        if self.has("stat") { Some(r#"stat -c %s "$1""#) } else { self.has("wc").then_some(r#"wc -c < "$1""#) }
    }

    /// Drops the directories in which the file would kill the etcd that it is read from: files in memory count against
    /// the container's memory limit, and the kubelet evicts a pod that exceeds a limit of storage.
    pub fn drop_harmful_directories(
        &mut self,
        member: &Member,
        db_size: Option<u64>,
        place: &str,
    ) -> Result<(), TransportError> {
        let mut last = None;
        self.directories.retain(|directory| match why_harmful(directory, member, db_size) {
            Some(harm) => {
                last = Some(format!("{} {harm}", directory.path));
                false
            }
            None => true,
        });
        match last {
            Some(harm) if self.directories.is_empty() => {
                Err(not_possible(format!("{place} has no suitable directory for the snapshot: {harm}")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the directories with enough free space for the snapshot. If that is unknown because `df` is missing, the
    /// disk with etcd's data is left out.
    ///
    /// # Errors
    /// No directory has enough.
    pub fn directories_with_space(
        &self,
        request: &Request<'_>,
        place: &str,
    ) -> Result<Vec<&Directory>, TransportError> {
        self.with_space(request.db_size, request.member.config.get("data-dir"), place)
    }

    fn with_space(
        &self,
        db_size: Option<u64>,
        data: Option<&str>,
        place: &str,
    ) -> Result<Vec<&Directory>, TransportError> {
        let Some(first) = self.directories.first() else {
            return Err(not_possible(format!("{place} has no writable directory")));
        };
        let fits = |directory: &&Directory| match directory.free_space {
            Some(space) => space.available >= required_free_space(db_size, space.capacity),
            None => !data.is_some_and(|data| data.starts_with(&directory.path)),
        };
        let found: Vec<&Directory> = self.directories.iter().filter(fits).collect();
        if found.is_empty() {
            let space = first.free_space.unwrap_or(DiskSpace { available: 0, capacity: 0 });
            return Err(Error::failed(format!(
                "not enough free space in {place}: {} are free in {}, and {} are needed (the database plus a tenth, and a tenth of the file system for etcd itself)",
                decimal_bytes(space.available),
                first.path,
                decimal_bytes(required_free_space(db_size, space.capacity))
            ))
            .hint("nothing was written; free some space, choose another member with --member, or use --transport direct")
            .into());
        }
        Ok(found)
    }
}

/// Returns what makes a file in this directory harmful, for a sentence that begins with its name.
fn why_harmful(directory: &Directory, member: &Member, db_size: Option<u64>) -> Option<String> {
    let mounts = member.container.volume_mounts.iter().flatten();
    let holds = |mount: &&VolumeMount| Path::new(&directory.path).starts_with(&mount.mount_path);
    let mount = mounts.filter(holds).max_by_key(|mount| mount.mount_path.len());
    let spec = member.pod.spec.as_ref();
    let volume = mount.and_then(|mount| spec?.volumes.iter().flatten().find(|volume| volume.name == mount.name));
    let empty_dir = volume.and_then(|volume| volume.empty_dir.as_ref());
    if directory.in_memory || empty_dir.is_some_and(|volume| volume.medium.as_deref() == Some("Memory")) {
        return Some("is in memory, which etcd needs itself".to_owned());
    }
    let needed = required_limit(db_size?);
    let limited = |limit: &str| format!("is limited to {limit}, and {} are needed", decimal_bytes(needed));
    if let Some(limit) = empty_dir.and_then(|volume| volume.size_limit.as_ref())
        && parse_quantity(&limit.0).is_some_and(|bytes| bytes < needed)
    {
        return Some(limited(&limit.0));
    }
    // The kubelet does not count other volumes.
    if mount.is_some() && empty_dir.is_none() {
        return None;
    }
    let mut pod = member.pod.clone();
    pod.spec.as_mut()?.containers.retain(|container| container.name == member.container.name);
    storage_limit_below(&pod, needed).map(|limit| limited(&limit))
}

/// Reads a line of `df -Pk`: file system, blocks of 1024 bytes, used, available, capacity in percent, mount point.
fn parse_df(line: &str) -> Option<DiskSpace> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().rposition(|word| word.ends_with('%') && word.len() > 1)?;
    let blocks = |back: usize| words.get(percent.checked_sub(back)?)?.parse::<u64>().ok()?.checked_mul(1024);
    Some(DiskSpace { available: blocks(1)?, capacity: blocks(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    const BUSYBOX: &str = "tool cat\ntool tail\ntool rm\ntool sleep\ndir /tmp\nFilesystem 1024-blocks Used Available Capacity Mounted on\noverlay 100000 40000 60000 40% /\ndir /tmp\ndir /var/lib/etcd\n";

    #[test]
    fn the_probe_is_read() {
        let tools = Tools::parse(BUSYBOX);
        assert!(tools.has("rm") && !tools.has("dd"));
        assert_eq!(tools.reader(), Some(Reader::Tail));
        let free_space = Some(DiskSpace { available: 61_440_000, capacity: 102_400_000 });
        assert_eq!(tools.directories[0], Directory { path: "/tmp".to_owned(), free_space, in_memory: false });
        assert_eq!(tools.directories.len(), 2);
    }

    #[test]
    fn a_directory_without_enough_space_is_left_out() {
        let tools = Tools::parse(BUSYBOX);
        let data = Some("/var/lib/etcd");
        let found = tools.with_space(Some(10_000_000), data, "here").expect("there is space");
        assert_eq!(found.len(), 1, "etcd's own disk is left out while its space is unknown");
        let error = tools.with_space(Some(60_000_000), data, "here").expect_err("no space");
        let TransportError::Failed(error) = error else { panic!("{error:?}") };
        assert!(error.message().starts_with("not enough free space in here"));
    }

    /// A directory `/tmp` on a file system of this kind, in a container with these resources, where this volume is
    /// mounted.
    fn spared(kind: &str, resources: serde_json::Value, volume: serde_json::Value) -> Result<usize, TransportError> {
        let mut pod = pod("etcd-cp1", &["etcd"], true);
        let spec = pod.spec.as_mut().expect("it has one");
        spec.containers[0].resources = serde_json::from_value(resources).expect("resources");
        if !volume.is_null() {
            let mount = serde_json::json!([{"name": "scratch", "mountPath": "/tmp"}]);
            spec.containers[0].volume_mounts = serde_json::from_value(mount).expect("mounts");
            spec.volumes = serde_json::from_value(serde_json::json!([volume])).expect("volumes");
        }
        let member = Member::from_pod(pod).expect("it runs etcd");
        let mut tools = Tools::parse(&format!("dir /tmp\n{kind} 100000 40000 60000 40% /tmp\n"));
        tools.drop_harmful_directories(&member, Some(1_000_000_000), "here").map(|()| tools.directories.len())
    }

    #[test]
    fn a_directory_whose_file_would_kill_etcd_is_left_out() {
        use serde_json::json;
        let limit = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
        let empty_dir = |of: serde_json::Value| json!({"name": "scratch", "emptyDir": of});
        let refused = |spared: Result<usize, TransportError>| {
            let error = spared.expect_err("it would do harm");
            let TransportError::Unavailable(error) = error else { panic!("{error:?}") };
            error.message().to_owned()
        };
        assert_eq!(spared("overlay", json!({}), json!(null)), Ok(1));
        for kind in ["tmpfs", "shm"] {
            assert!(refused(spared(kind, json!({}), json!(null))).contains("/tmp is in memory"));
        }
        assert!(refused(spared("overlay", json!({}), empty_dir(json!({"medium": "Memory"})))).contains("is in memory"));
        assert!(refused(spared("overlay", limit("1Gi"), json!(null))).contains("/tmp is limited to 1Gi"));
        assert_eq!(spared("overlay", limit("2Gi"), json!(null)), Ok(1));
        assert!(refused(spared("ext4", json!({}), empty_dir(json!({"sizeLimit": "1Gi"})))).contains("limited to 1Gi"));
        assert!(refused(spared("ext4", limit("1Gi"), empty_dir(json!({})))).contains("limited to 1Gi"));
        let host = json!({"name": "scratch", "hostPath": {"path": "/mnt"}});
        assert_eq!(spared("ext4", limit("1Gi"), host), Ok(1));
    }
}
