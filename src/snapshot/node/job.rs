//! The job that runs `etcdctl snapshot save` on the member's node.
//!
//! It must be admitted on as many clusters as possible, be the first to be evicted, need no scheduler, take no key
//! off its node, and vanish by itself when nobody comes back for it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use crate::etcd::Member;
use crate::etcd::credentials::pod_paths::Credentials;

/// Selects every job of ours, and nothing else.
pub const LABEL: &str = "app.kubernetes.io/name=etcd-backup,app.kubernetes.io/managed-by=kubectl-etcd_backup";

/// Where the job's container sees its pod's log directory.
const DIRECTORY: &str = "/snapshot";

/// Slowest rate at which a node is expected to write, in bytes a second.
const SLOWEST: u64 = 5_000_000;

/// How long a job may run, and how long it outlives its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// `activeDeadlineSeconds`.
    pub run: Duration,
    /// `ttlSecondsAfterFinished` at the start.
    pub outlive: Duration,
}

impl JobLimits {
    /// From the database's size in bytes, where it is known: etcd's default quota is 8 GiB.
    pub fn new(db_size: Option<u64>, outlive: Duration, deadline: Duration) -> Self {
        let seconds = (db_size.unwrap_or(8 << 30) / SLOWEST).max(600);
        JobLimits { run: Duration::from_secs(seconds).min(deadline), outlive: outlive.min(deadline) }
    }
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
    /// Root may not read the keys without `CAP_DAC_OVERRIDE`.
    pub override_owner: bool,
    /// Let an init container ask for etcd's status first: with a certificate that etcd refuses, `snapshot save` waits
    /// in silence for ever, while `endpoint status` ends with a sentence.
    pub probe: bool,
    pub limits: JobLimits,
}

/// A name that no other run has.
pub fn random_name() -> String {
    // Without vowels and look-alikes, as Kubernetes makes names (apimachinery `util/rand`).
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix: String = (0..8).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect();
    format!("etcd-backup-{suffix}")
}

impl JobSpec<'_> {
    /// The manifest.
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
                "ttlSecondsAfterFinished": self.limits.outlive.as_secs(),
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
        // etcdctl dies when a flag and its variable are both set, and the image may have set some: variables only.
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
        let plan = JobSpec {
            name: "etcd-backup-x",
            member: &member,
            image: "etcd:1",
            endpoint: "https://127.0.0.1:2379",
            credentials: &credentials,
            pod_logs: "/var/log/pods",
            override_owner,
            probe,
            limits: JobLimits::new(Some(1 << 20), Duration::from_secs(600), Duration::from_secs(14_400)),
        };
        serde_json::to_value(plan.job()).expect("a job is JSON")
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
    fn the_file_is_none_that_log_collectors_read() {
        // They glob /var/log/pods/*/*/*.log: ours lies one directory higher and has another ending.
        let command = job(false, false)["spec"]["template"]["spec"]["containers"][0]["command"].clone();
        assert_eq!(command, json!(["etcdctl", "snapshot", "save", "/snapshot/snapshot.db"]));
    }

    #[test]
    fn the_right_to_read_others_files_is_asked_for_only_when_needed() {
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

    #[test]
    fn a_large_database_has_more_time_but_no_more_than_the_deadline() {
        let outlive = Duration::from_secs(600);
        assert_eq!(JobLimits::new(Some(8_000_000_000), outlive, Duration::from_secs(14_400)).run.as_secs(), 1600);
        assert_eq!(JobLimits::new(Some(8_000_000_000), outlive, Duration::from_secs(60)).run.as_secs(), 60);
        assert_eq!(JobLimits::new(None, outlive, Duration::from_secs(60)).outlive.as_secs(), 60);
    }
}
