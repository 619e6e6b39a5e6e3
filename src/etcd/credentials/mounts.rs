//! The mounts through which another pod can read files of a container.

use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};

/// A volume of a pod, and where its container mounts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    pub volume: Volume,
    pub mount: VolumeMount,
}

/// Returns the read-only mounts that cover `paths` of a container. `None` if a path is in the image, in a volume of this
/// pod alone, or in a mount of the node's whole file system, which a backup must not get.
pub fn mounts_for_paths(pod: &Pod, container: &Container, paths: &[&str]) -> Option<Vec<Mount>> {
    let mut mounts: Vec<Mount> = Vec::new();
    for path in paths {
        let covering = container.volume_mounts.iter().flatten().filter(|mount| covers(&mount.mount_path, path));
        let mount = covering.max_by_key(|mount| mount.mount_path.len())?;
        let volume = pod.spec.as_ref()?.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
        if is_whole_node(volume) || !is_shareable(volume) || mount.sub_path_expr.is_some() {
            return None;
        }
        let mount =
            VolumeMount { read_only: Some(true), mount_propagation: None, recursive_read_only: None, ..mount.clone() };
        if !mounts.iter().any(|known| known.mount == mount) {
            mounts.push(Mount { volume: volume.clone(), mount });
        }
    }
    Some(mounts)
}

/// Reports whether `path` is `directory` or in it.
pub fn covers(directory: &str, path: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_whole_node(volume: &Volume) -> bool {
    volume.host_path.as_ref().is_some_and(|host| host.path.trim_end_matches('/').is_empty())
}

fn is_shareable(volume: &Volume) -> bool {
    volume.host_path.is_some() || volume.secret.is_some() || volume.config_map.is_some() || volume.projected.is_some()
}
