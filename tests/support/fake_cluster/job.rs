//! A job's life: its pod, the real `etcdctl snapshot save`, the time that it is left alone, and its end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::Digest;

use super::Shared;
use super::faults::Faults;
use crate::support::etcd::tool;

/// Stores the job and lets it run.
pub fn create(shared: &Arc<Shared>, mut job: Value) -> Value {
    let name = job["metadata"]["name"].as_str().expect("a job has a name").to_owned();
    {
        let mut state = shared.state();
        state.count += 1;
        job["metadata"]["uid"] = json!(format!("uid-job-{}", state.count));
        job["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
        state.jobs.insert(name.clone(), job.clone());
    }
    let (shared, running) = (Arc::clone(shared), job.clone());
    std::thread::spawn(move || live(&shared, &name, &running));
    job
}

/// Removes the job; its pod and the pod's directory only when `with_pod`.
pub fn remove(shared: &Shared, name: &str, with_pod: bool) {
    let mut state = shared.state();
    state.jobs.remove(name);
    if with_pod {
        state.pods.retain(|_, pod| pod["metadata"]["labels"]["app.kubernetes.io/instance"] != name);
        let nodes = shared.members.iter().map(|member| shared.pod_logs(&member.name));
        for entry in nodes.flat_map(|logs| std::fs::read_dir(logs).into_iter().flatten().flatten()) {
            if entry.file_name().to_string_lossy().contains(name) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn exists(shared: &Shared, name: &str) -> bool {
    shared.state().jobs.contains_key(name)
}

fn set(shared: &Shared, pod: &str, phase: &str, state: Value) {
    if let Some(pod) = shared.state().pods.get_mut(pod) {
        let container = json!([{"name": "etcdctl", "image": pod["spec"]["containers"][0]["image"], "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
        pod["status"] = json!({"phase": phase, "containerStatuses": container});
    }
}

fn live(shared: &Arc<Shared>, name: &str, job: &Value) {
    let faults = shared.state().faults.clone();
    if let Some(message) = faults.failed_create {
        let event = json!({"metadata": {"name": "e"}, "reason": "FailedCreate", "message": format!("Error creating: {message}"), "type": "Warning", "involvedObject": {"uid": job["metadata"]["uid"]}});
        shared.state().events.push(event);
        return;
    }
    if faults.no_pod {
        return;
    }
    let pod = format!("{name}-abcde");
    let mut object = job["spec"]["template"].clone();
    let number = shared.state().count;
    object["metadata"]["name"] = json!(pod);
    object["metadata"]["namespace"] = json!("kube-system");
    object["metadata"]["uid"] = json!(format!("uid-pod-{number}"));
    object["status"] = json!({"phase": "Pending"});
    if let Some(limit) = faults.storage_limit {
        object["spec"]["containers"][0]["resources"]["limits"] = json!({"ephemeral-storage": limit});
    }
    if faults.waiting.is_some() {
        object["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    }
    let container = object["spec"]["containers"][0].clone();
    shared.state().pods.insert(pod.clone(), object);
    std::thread::sleep(Duration::from_millis(50));

    let succeeded = run(shared, name, &pod, &container, &faults, job);
    let kind = if succeeded { "Complete" } else { "Failed" };
    if let Some(job) = shared.state().jobs.get_mut(name) {
        job["status"]["conditions"] =
            json!([{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]);
    }
    // The TTL controller: counts from here, with the value that is set now.
    let finished = Instant::now();
    while let Some(job) = { shared.state().jobs.get(name).cloned() } {
        let ttl = job["spec"]["ttlSecondsAfterFinished"].as_u64().unwrap_or(u64::MAX);
        if finished.elapsed() > Duration::from_secs(ttl) {
            remove(shared, name, true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run(shared: &Shared, name: &str, pod: &str, container: &Value, faults: &Faults, job: &Value) -> bool {
    let terminated = |code: i32, reason: &str, message: &str| json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
    if let Some((reason, message)) = faults.waiting {
        set(shared, pod, "Pending", json!({"waiting": {"reason": reason, "message": message}}));
        while exists(shared, name) {
            std::thread::sleep(Duration::from_millis(50));
        }
        return false;
    }
    if faults.no_etcdctl {
        set(
            shared,
            pod,
            "Failed",
            terminated(128, "StartError", "exec: \"etcdctl\": executable file not found in $PATH: unknown"),
        );
        return false;
    }
    if faults.evicted {
        if let Some(pod) = shared.state().pods.get_mut(pod) {
            pod["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."});
        }
        return false;
    }
    if let Some(message) = faults.etcdctl_fails {
        let may_override = container["securityContext"]["capabilities"]["add"] == json!(["DAC_OVERRIDE"]);
        if !(message.contains("permission denied") && may_override) {
            set(shared, pod, "Failed", terminated(1, "Error", message));
            return false;
        }
    }
    let mount = &container["volumeMounts"][0];
    if mount["subPathExpr"] != "kube-system_$(POD_NAME)_$(POD_UID)" || mount["mountPath"] != "/snapshot" {
        set(
            shared,
            pod,
            "Pending",
            json!({"waiting": {"reason": "CreateContainerConfigError", "message": "the mount is not the pod's log directory"}}),
        );
        return false;
    }
    let uid = shared.state().pods.get(pod).map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
    let Some(uid) = uid else { return false };
    let node = job["spec"]["template"]["spec"]["nodeName"].as_str().unwrap_or_default();
    let directory = shared.pod_logs(node).join(format!("kube-system_{pod}_{uid}"));
    std::fs::create_dir_all(&directory).expect("the node's directory");
    set(shared, pod, "Running", json!({"running": {}}));
    let deadline = Duration::from_secs(job["spec"]["activeDeadlineSeconds"].as_u64().unwrap_or(u64::MAX / 2));
    if let Some(hook) = &faults.before_save {
        hook.happen();
    }
    match save(shared, name, container, &directory, faults.save_rate, deadline) {
        Ended::Well => {
            set(shared, pod, "Succeeded", terminated(0, "Completed", ""));
            true
        }
        Ended::Badly(message) => {
            set(shared, pod, "Failed", terminated(1, "Error", &message));
            false
        }
        Ended::Deadline => {
            let mut state = shared.state();
            state.pods.remove(pod);
            if let Some(job) = state.jobs.get_mut(name) {
                job["status"]["conditions"] =
                    json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]);
            }
            let _ = std::fs::remove_dir_all(directory);
            false
        }
    }
}

enum Ended {
    Well,
    Badly(String),
    Deadline,
}

/// The real etcdctl, into a place of its own; then the file grows under `.part`, as slowly as asked, and is renamed.
fn save(
    shared: &Shared,
    name: &str,
    container: &Value,
    directory: &Path,
    rate: Option<u64>,
    deadline: Duration,
) -> Ended {
    let start = Instant::now();
    let scratch = shared.root.join(format!("{name}.db"));
    let mut command = Command::new(tool("etcdctl"));
    command.args(["snapshot", "save"]).arg(&scratch).env_clear().stdin(Stdio::null());
    for variable in container["env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            command.env(name, value);
        }
    }
    let output = command.output().expect("etcdctl starts");
    if !output.status.success() {
        return Ended::Badly(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut bytes = std::fs::read(&scratch).expect("etcdctl saved it");
    if let Some(damage) = shared.state().faults.damage {
        let body = bytes.len() - 32;
        damage(&mut bytes[..body]);
        let sum = sha2::Sha256::digest(&bytes[..body]);
        bytes[body..].copy_from_slice(sum.as_slice());
    }
    let _ = std::fs::remove_file(&scratch);
    let part = directory.join("snapshot.db.part");
    let step = rate.map_or(bytes.len(), |rate| (rate / 20) as usize).max(1);
    let mut written = Vec::new();
    for piece in bytes.chunks(step) {
        if !exists(shared, name) {
            return Ended::Badly("killed".to_owned());
        }
        if start.elapsed() > deadline {
            return Ended::Deadline;
        }
        written.extend_from_slice(piece);
        use std::io::Write;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&part);
        if file.and_then(|mut file| file.write_all(piece)).is_err() {
            return Ended::Badly("the directory is gone".to_owned());
        }
        if rate.is_some() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    match std::fs::rename(&part, directory.join("snapshot.db")) {
        Ok(()) => Ended::Well,
        Err(error) => Ended::Badly(error.to_string()),
    }
}
