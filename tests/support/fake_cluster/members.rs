//! The etcd members of the fake cluster: their pods, and what is wrong with single ones.

use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::faults::Faults;
use super::objects::status;

/// The image of the etcd pods.
pub const IMAGE: &str = "registry.example/etcd:3.6.8-0";

/// One etcd member: a pod `etcd-NAME` on a node NAME, in front of an etcd that really listens.
#[derive(Debug, Clone)]
pub struct FakeMember {
    pub name: String,
    /// Where its etcd serves clients.
    pub url: String,
    /// Flags of etcd besides its URLs.
    pub flags: Vec<String>,
    /// A Secret that the pod mounts, and where: a hosted control plane.
    pub secret: Option<(String, String)>,
    /// A ConfigMap that is mounted over the Secret's CA.
    pub ca_map: Option<String>,
}

impl FakeMember {
    pub fn new(name: &str, url: &str) -> Self {
        FakeMember { name: name.to_owned(), url: url.to_owned(), flags: Vec::new(), secret: None, ca_map: None }
    }

    pub fn pod(&self) -> String {
        format!("etcd-{}", self.name)
    }
}

/// The static pod, as kubeadm makes it.
pub fn pod(member: &FakeMember, faults: &Faults) -> Value {
    let (name, url) = (&member.name, &member.url);
    let not_ready = faults.not_ready || faults.members.get(name.as_str()).is_some_and(|faults| faults.not_ready);
    let ready = if not_ready { "False" } else { "True" };
    let mut command = vec![
        "etcd".to_owned(),
        format!("--name={name}"),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
    ];
    command.extend(member.flags.iter().cloned());
    let uid = format!("uid-{}etcd-{name}", if faults.forward.replaced { "of-the-next-" } else { "" });
    let mut pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": member.pod(), "namespace": "kube-system", "uid": uid, "labels": {"component": "etcd", "tier": "control-plane"}},
        "spec": {
            "nodeName": name, "hostNetwork": true,
            "containers": [{
                "name": "etcd", "image": IMAGE,
                "command": command,
            }],
        },
        "status": {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": ready, "message": "scripted: not ready"}]},
    });
    if let Some(urls) = &faults.container.endpoints {
        pod["spec"]["containers"][0]["env"] = json!([{"name": "ETCDCTL_ENDPOINTS", "value": urls}]);
    }
    if let Some((secret, path)) = &member.secret {
        pod["spec"]["volumes"] = json!([{"name": "certs", "secret": {"secretName": secret}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "certs", "mountPath": path}]);
        if let Some(map) = &member.ca_map {
            let volume = json!({"name": "ca", "configMap": {"name": map}});
            let mount = json!({"name": "ca", "mountPath": format!("{path}/ca.crt"), "subPath": "ca.crt"});
            pod["spec"]["volumes"].as_array_mut().expect("a list").push(volume);
            pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().expect("a list").push(mount);
        }
    }
    pod
}

/// The answer to an exec that never becomes a stream.
pub fn exec_refused(shared: &Shared, pod: &str, faults: &Faults) -> Option<(u16, Value)> {
    let begun = shared.state().first_read;
    if let (Some(time), Some(begun)) = (faults.forgets_rules, begun)
        && begun.elapsed() < time
    {
        return Some((403, super::objects::forbidden("create", "pods/exec")));
    }
    let member = shared.member(pod)?;
    let (code, message) = faults.members.get(member.name.as_str())?.exec_refused?;
    let reason = if code == 403 { "Forbidden" } else { "InternalError" };
    Some((code, status(code, reason, message)))
}

/// How long the member of this pod takes for a hash.
pub fn slow_hash(shared: &Shared, pod: &str) -> Duration {
    let state = shared.state();
    let faults = shared.member(pod).and_then(|member| state.faults.members.get(member.name.as_str()));
    faults.and_then(|faults| faults.slow_hash).unwrap_or_default()
}

/// Puts the scripted alarms and sizes into what `etcdctl endpoint status -w json` printed.
pub fn scripted(shared: &Shared, stdout: Vec<u8>) -> Vec<u8> {
    let faults = shared.state().faults.clone();
    let Ok(mut answer) = serde_json::from_slice::<Vec<Value>>(&stdout) else { return stdout };
    let mut errors = Vec::new();
    for entry in &mut answer {
        let member = shared.members.iter().find(|member| entry["Endpoint"] == member.url.as_str());
        let Some(faults) = member.and_then(|member| faults.members.get(member.name.as_str())) else { continue };
        if let Some(size) = faults.db_size {
            entry["Status"]["dbSize"] = json!(size);
        }
        if let Some(alarm) = faults.alarm {
            errors.push(json!(format!("memberID:{} alarm:{alarm} ", entry["Status"]["header"]["member_id"])));
        }
    }
    for entry in answer.iter_mut().filter(|_| !errors.is_empty()) {
        entry["Status"]["errors"] = json!(errors);
    }
    json!(answer).to_string().into_bytes()
}
