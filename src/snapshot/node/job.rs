//! The job that runs `etcdctl snapshot save` on the member's node.
//!
//! Its manifest must be admitted on as many clusters as possible. The pod is the first to be evicted, needs no
//! scheduler, and takes no key off its node. Kubernetes deletes the job when its TTL ends, even if this run died.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use serde_json::{Value, json};

use crate::etcd::Member;
use crate::etcd::credentials::pod_paths::Credentials;

/// Selects the jobs of this program, and nothing else.
pub const LABEL: &str = "app.kubernetes.io/name=etcd-backup,app.kubernetes.io/managed-by=kubectl-etcd_backup";

/// Where the job's container sees its pod's log directory.
const DIRECTORY: &str = "/snapshot";

/// How long a job may run, and how long it stays after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// `activeDeadlineSeconds`.
    pub run: Duration,
    /// `ttlSecondsAfterFinished` at the start.
    pub ttl: Duration,
}

/// What a job is made from.
#[derive(Debug)]
pub struct JobSpec<'p> {
    pub name: &'p str,
    pub member: &'p Member,
    pub image: &'p str,
    pub endpoint: &'p str,
    pub credentials: &'p Credentials,
    /// `podLogsDir` of the kubelet.
    pub pod_logs: &'p str,
    /// Adds `CAP_DAC_OVERRIDE`, without which root cannot read keys of another user.
    pub override_owner: bool,
    /// Adds an init container that asks for etcd's status: with a certificate that etcd refuses, `snapshot save` waits
    /// without end or message, while `endpoint status` ends with an error.
    pub probe: bool,
    pub limits: JobLimits,
}

impl JobSpec<'_> {
    /// Returns the manifest.
    pub fn job(&self) -> Job {
        let labels = json!({
            "app.kubernetes.io/name": "etcd-backup",
            "app.kubernetes.io/managed-by": "kubectl-etcd_backup",
            "app.kubernetes.io/instance": self.name,
            "sidecar.istio.io/inject": "false",
        });
        let manifest = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, "namespace": self.member.namespace, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "activeDeadlineSeconds": self.limits.run.as_secs().max(1),
                "ttlSecondsAfterFinished": self.limits.ttl.as_secs(),
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"linkerd.io/inject": "disabled"},
                    },
                    "spec": self.pod_spec(),
                },
            },
        });
        // The manifest is ours and its shape is pinned by a test, so it always converts.
        serde_json::from_value(manifest).unwrap_or_default()
    }

    fn pod_spec(&self) -> Value {
        let mut volumes = vec![json!({"name": "snapshot", "hostPath": {"path": self.pod_logs, "type": "Directory"}})];
        for mount in self.credentials.mounts.iter().flatten() {
            let volume = json!(mount.volume);
            if !volumes.contains(&volume) {
                volumes.push(volume);
            }
        }
        let save = ["etcdctl", "snapshot", "save", "/snapshot/snapshot.db"];
        let mut spec = json!({
            "nodeName": self.member.node,
            "hostNetwork": self.member.host_network(),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self.container("etcdctl", &save)],
            "volumes": volumes,
        });
        if self.member.host_network() {
            spec["dnsPolicy"] = json!("ClusterFirstWithHostNet");
        }
        if self.probe {
            let status = ["etcdctl", "endpoint", "status", "--dial-timeout=3s", "--command-timeout=5s"];
            spec["initContainers"] = json!([self.container("probe", &status)]);
        }
        let secrets = self.member.pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        if let Some(secrets) = secrets {
            spec["imagePullSecrets"] = json!(secrets);
        }
        spec
    }

    fn container(&self, name: &str, command: &[&str]) -> Value {
        // etcdctl fails if a flag and its variable are both set, and the image may set some: variables only.
        let mut env = vec![
            json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}),
            json!({"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}),
            json!({"name": "ETCDCTL_ENDPOINTS", "value": self.endpoint}),
        ];
        let mut variable = |name: &str, value: &str| env.push(json!({"name": name, "value": value}));
        if let Some(cacert) = &self.credentials.cacert {
            variable("ETCDCTL_CACERT", cacert);
        }
        if let Some((cert, key)) = &self.credentials.client_cert {
            variable("ETCDCTL_CERT", cert);
            variable("ETCDCTL_KEY", key);
        }
        let sub_path = format!("{}_$(POD_NAME)_$(POD_UID)", self.member.namespace);
        let mut mounts = vec![json!({"name": "snapshot", "mountPath": DIRECTORY, "subPathExpr": sub_path})];
        mounts.extend(self.credentials.mounts.iter().flatten().map(|mount| json!(mount.mount)));
        let mut capabilities = json!({"drop": ["ALL"]});
        if self.override_owner {
            capabilities["add"] = json!(["DAC_OVERRIDE"]);
        }
        json!({
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "env": env,
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": "0"}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": capabilities,
                "runAsUser": 0,
                "runAsGroup": 0,
                "runAsNonRoot": false,
                "seLinuxOptions": {"type": "spc_t"},
            },
        })
    }
}

/// Returns the condition with which a job ended, well or badly; `None` while it runs.
pub fn ended(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .find(|condition| condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    fn job(override_owner: bool, probe: bool) -> Value {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).expect("it runs etcd");
        let credentials = Credentials {
            origin: "test",
            cacert: Some("/pki/ca.crt".into()),
            client_cert: Some(("/pki/c.crt".into(), "/pki/c.key".into())),
            usable_in_etcd_container: true,
            mounts: Some(Vec::new()),
        };
        let spec = JobSpec {
            name: "etcd-backup-x",
            member: &member,
            image: "etcd:1",
            endpoint: "https://127.0.0.1:2379",
            credentials: &credentials,
            pod_logs: "/var/log/pods",
            override_owner,
            probe,
            limits: JobLimits { run: Duration::from_secs(600), ttl: Duration::from_secs(600) },
        };
        serde_json::to_value(spec.job()).expect("a job is JSON")
    }

    #[test]
    fn nothing_of_the_manifest_is_lost_on_the_way() {
        let job = job(false, false);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(job["metadata"]["name"], "etcd-backup-x");
        assert_eq!(job["spec"]["backoffLimit"], 0);
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 600);
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 600);
        assert_eq!(pod["nodeName"], "cp1");
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["containers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError");
        assert_eq!(pod["containers"][0]["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(pod["containers"][0]["securityContext"]["seLinuxOptions"]["type"], "spc_t");
        assert_eq!(pod["containers"][0]["volumeMounts"][0]["subPathExpr"], "kube-system_$(POD_NAME)_$(POD_UID)");
        assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/var/log/pods");
    }

    #[test]
    fn log_collectors_do_not_read_the_file() {
        // They glob /var/log/pods/*/*/*.log: ours lies one directory higher and has another ending.
        let command = job(false, false)["spec"]["template"]["spec"]["containers"][0]["command"].clone();
        assert_eq!(command, json!(["etcdctl", "snapshot", "save", "/snapshot/snapshot.db"]));
    }

    #[test]
    fn the_capability_to_read_files_of_others_is_added_only_when_needed() {
        let capabilities =
            |job: Value| job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"].clone();
        assert_eq!(capabilities(job(false, false))["add"], Value::Null);
        assert_eq!(capabilities(job(true, false))["add"], json!(["DAC_OVERRIDE"]));
    }

    #[test]
    fn settings_are_variables_never_flags() {
        let job = job(false, true);
        let spec = &job["spec"]["template"]["spec"];
        for container in [&spec["containers"][0], &spec["initContainers"][0]] {
            assert!(!container["command"].to_string().contains("--cert"));
            assert!(container["env"].to_string().contains("ETCDCTL_KEY"));
        }
    }
}
