//! Clusters that refuse the snapshot job, and nodes that do not take it.

use crate::harness::cluster::{Cluster, until};
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("admission: Pod Security restricted", Needs::One, pod_security),
        scenario("admission: a ValidatingAdmissionPolicy forbids hostPath", Needs::One, policy),
        scenario("admission: a ResourceQuota is used up", Needs::One, quota),
        scenario("admission: a LimitRange with too little ephemeral storage", Needs::One, limit_range),
        scenario("admission: a NoExecute taint", Needs::One, tainted),
        scenario("admission: a cordoned node", Needs::One, cordoned),
        scenario("admission: AlwaysPullImages without a registry", Needs::One, always_pull),
    ]
}

/// Refused soon with the message of the admission plugin, and nothing is left.
fn refused(cluster: &Cluster, expected: &[&str]) {
    let mut outcome =
        cluster.backup(&[]).run().code(3).without_file().says("the cluster does not admit the snapshot job's pod");
    for text in expected {
        outcome = outcome.says(text);
    }
    outcome.within(std::time::Duration::from_secs(30));
}

fn pod_security(cluster: &Cluster) {
    let label = "pod-security.kubernetes.io/enforce";
    cluster.kubectl(&["label", "namespace", "kube-system", &format!("{label}=restricted")]);
    let _undo = Undo::by(|| {
        let _ = cluster.try_kubectl(&["label", "namespace", "kube-system", &format!("{label}-")]);
    });
    refused(cluster, &["PodSecurity \"restricted", "pod-security.kubernetes.io/enforce=privileged"]);
}

fn policy(cluster: &Cluster) {
    let _undo = cluster.with(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: e2e-no-host-path}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations:
  - expression: "has(object.metadata.annotations) && 'kubernetes.io/config.mirror' in object.metadata.annotations || !has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath))"
    message: hostPath is not for you
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: e2e-no-host-path}
spec: {policyName: e2e-no-host-path, validationActions: [Deny]}
"#,
    );
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"kube-system"},"spec":{"containers":[{"name":"x","image":"x"}],"volumes":[{"name":"x","hostPath":{"path":"/"}}]}}"#;
    let file = cluster.file("pod.json");
    std::fs::write(&file, pod).expect("it can be written");
    let path = file.display().to_string();
    until(std::time::Duration::from_secs(30), "the policy is in force", || {
        cluster.try_kubectl(&["create", "--dry-run=server", "-f", &path]).is_err()
    });
    refused(cluster, &["hostPath is not for you"]);
}

fn quota(cluster: &Cluster) {
    let _undo = cluster.with(
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: e2e, namespace: kube-system}, spec: {hard: {pods: 0}}}",
    );
    until(std::time::Duration::from_secs(30), "the quota is counted", || {
        let used = ["-n", "kube-system", "get", "resourcequota", "e2e", "-o", "jsonpath={.status.used.pods}"];
        !cluster.kubectl(&used).is_empty()
    });
    refused(cluster, &["exceeded quota: e2e", "kubectl describe resourcequota -n kube-system"]);
}

fn limit_range(cluster: &Cluster) {
    let _undo = cluster.with(
        "{apiVersion: v1, kind: LimitRange, metadata: {name: e2e-small, namespace: kube-system}, spec: {limits: [{type: Container, default: {ephemeral-storage: 100Ki}}]}}",
    );
    // What the plugin refuses to run is what the API server made of it, so it must have made something of it.
    let outcome = cluster.backup(&[]).run().code(3).without_file();
    outcome.says("LimitRange e2e-small").says("100Ki of ephemeral storage");
}

fn tainted(cluster: &Cluster) {
    cluster.kubectl(&["taint", "node", "cp1", "e2e=yes:NoExecute"]);
    let _undo = Undo::by(|| {
        let _ = cluster.try_kubectl(&["taint", "node", "cp1", "e2e-"]);
    });
    cluster.backup(&[]).run().verified();
}

fn cordoned(cluster: &Cluster) {
    cluster.kubectl(&["cordon", "cp1"]);
    let _undo = Undo::by(|| {
        let _ = cluster.try_kubectl(&["uncordon", "cp1"]);
    });
    cluster.backup(&[]).run().verified();
}

fn always_pull(cluster: &Cluster) {
    let _undo = api_server_with(cluster, |manifest| {
        manifest.replace(
            "--enable-admission-plugins=NodeRestriction",
            "--enable-admission-plugins=NodeRestriction,AlwaysPullImages",
        )
    });
    cluster.backup(&[]).run().code(1).without_file().says("the node cannot pull the image").says("AlwaysPullImages");
}

/// Runs the API server with another manifest, and with its own one at the end.
fn api_server_with<'c>(cluster: &'c Cluster, change: impl FnOnce(&str) -> String) -> Undo<'c> {
    let running = move || {
        let words = cluster.node("cp1").shell("tr '\\0' ' ' </proc/$(pidof kube-apiserver)/cmdline");
        words.unwrap_or_default()
    };
    let before = running();
    let manifest = cluster.node("cp1").path("etc/kubernetes/manifests/kube-apiserver.yaml");
    let old = std::fs::read_to_string(&manifest).expect("there is a manifest");
    // A kubelet that runs waits for the old one to end, and then some more; one that starts finds the new one only.
    let put = move |text: &str| {
        let node = cluster.node("cp1");
        node.without_kubelet(|| {
            // Beside the directory: whatever lies in it is read as a manifest.
            let beside = manifest.parent().and_then(std::path::Path::parent).expect("a directory").join("next.yaml");
            std::fs::write(&beside, text)
                .and_then(|()| std::fs::rename(&beside, &manifest))
                .expect("it can be written");
            node.kill("kube-apiserver");
        });
    };
    let new = change(&old);
    assert_ne!(old, new, "nothing changed in the manifest");
    put(&new);
    let undo = Undo::by({
        let before = before.clone();
        move || {
            put(&old);
            until(std::time::Duration::from_secs(120), "the API server runs as before", || running() == before);
            cluster.must_be_healthy();
        }
    });
    until(std::time::Duration::from_secs(120), "the API server runs with the change", || {
        let now = running();
        !now.is_empty() && now != before
    });
    until(std::time::Duration::from_secs(120), "the API server is ready", || {
        cluster.try_kubectl(&["get", "--raw", "/readyz"]).is_ok()
    });
    undo
}
