//! What a cluster refuses or lacks: each has its sentence and its exit code, and nothing is left behind.

use std::time::Duration;

use crate::support::Rig;
use crate::support::fake_cluster::faults::Faults;

/// Runs a backup that must fail.
fn fails(script: impl FnOnce(&mut Faults), code: i32, says: &[&str]) {
    let rig = Rig::with(script);
    let mut outcome = rig.run(&["--out", "x.db", "--pod-running-timeout", "6s", "--stall-timeout", "3s"]).code(code);
    for text in says {
        outcome = outcome.says(text);
    }
    outcome.leaves_only(&[]);
}

#[test]
fn credentials_that_are_refused() {
    fails(|faults| faults.unauthorized = true, 3, &["refused the credentials", "hint: log in again"]);
}

#[test]
fn an_api_server_that_has_lost_its_etcd_is_not_taken_for_one_that_refuses() {
    fails(
        |faults| faults.lost_etcd = true,
        1,
        &["has lost its etcd, so nothing can be done through it", "hint: if etcd has lost its quorum", "snapshot save"],
    );
    let rig = Rig::with(|faults| faults.lost_etcd = true);
    rig.run(&["members"]).code(1).says("has lost its etcd").says_not("kubectl apply");
}

#[test]
fn no_etcd_pods() {
    fails(
        |faults| faults.no_etcd_pods = true,
        5,
        &["no etcd pods in namespace kube-system or openshift-etcd", "talosctl etcd snapshot"],
    );
}

#[test]
fn a_member_that_is_not_there() {
    let rig = Rig::new();
    rig.run(&["--out", "x.db", "--member", "cp9"])
        .code(2)
        .says("no etcd member is called \"cp9\"")
        .says("etcd-cp1 (node cp1, member cp1)")
        .leaves_only(&[]);
}

#[test]
fn an_etcd_pod_that_does_not_become_ready() {
    fails(
        |faults| faults.not_ready = true,
        1,
        &["pod kube-system/etcd-cp1 is not ready after 6s", "scripted: not ready"],
    );
}

#[test]
fn each_missing_permission_comes_with_its_manifest() {
    for (verb, resource, group) in
        [("list", "pods", "''"), ("get", "nodes/proxy", "''"), ("create", "jobs", "batch"), ("get", "pods", "''")]
    {
        fails(
            move |faults| faults.forbid.push((verb, resource)),
            3,
            &[
                &format!("not allowed to {verb} {resource}"),
                "kubectl apply",
                &format!("  rules:\n  - apiGroups:\n    - {group}\n"),
                &format!("    resources:\n    - {resource}\n    verbs:\n    - {verb}\n"),
                "name: tester",
            ],
        );
    }
}

#[test]
fn a_job_that_could_not_be_read_or_deleted_is_not_created() {
    for verb in ["get", "delete"] {
        let verbs = format!("    - {verb}\n");
        fails(
            move |faults| faults.forbid.push((verb, "jobs")),
            3,
            &[&format!("not allowed to {verb} jobs"), "nothing was created", "kubectl apply", verbs.trim()],
        );
    }
}

#[test]
fn optional_permissions_degrade_with_a_warning() {
    for (verb, resource, says) in [
        ("get", "pods/exec", "roles and health of the members are unknown"),
        ("get", "nodes", "the condition of node cp1 is unknown"),
        ("patch", "jobs", "not allowed to patch jobs"),
    ] {
        // With a port-forward, an etcd that serves plain http can be asked itself.
        let rig = Rig::with(|faults| faults.forbid.extend([(verb, resource), ("get", "pods/portforward")]));
        rig.run(&["--out", "x.db"]).code(0).says(says).leaves_only(&["x.db"]);
    }
}

#[test]
fn a_job_that_is_created_late_is_removed_and_one_that_may_still_be_created_is_reported() {
    let words = ["--out", "x.db", "--transport", "node", "--request-timeout", "1s"];
    let rig = Rig::with(|faults| faults.late_create = Some(Duration::from_secs(3)));
    rig.run(&words).code(1).says("no answer within 1s").says_not("may still be created").leaves_only(&[]);
    let rig = Rig::with(|faults| faults.late_create = Some(Duration::from_secs(60)));
    rig.run(&words).code(1).says("may still be created").says("cleanup --all").leaves_only(&[]);
}

#[test]
fn admission_refuses_the_pod_and_the_jobs_event_says_why() {
    let refusal = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": hostPath volumes";
    fails(
        |faults| faults.failed_create = Some(refusal),
        3,
        &["does not admit the snapshot job's pod", "violates PodSecurity", "pod-security.kubernetes.io/enforce"],
    );
    fails(
        |faults| faults.failed_create = Some("exceeded quota: compute, requested: pods=1"),
        3,
        &["exceeded quota", "kubectl describe resourcequota"],
    );
}

#[test]
fn a_refused_pod_whose_events_may_not_be_listed() {
    fails(
        |faults| {
            faults.failed_create = Some("exceeded quota");
            faults.forbid.push(("list", "events"));
        },
        1,
        &["got no pod within 6s", "not allowed to list the events"],
    );
}

#[test]
fn no_pod_and_no_event() {
    fails(|faults| faults.no_pod = true, 1, &["got no pod within 6s", "kube-controller-manager"]);
}

#[test]
fn an_image_that_cannot_be_pulled() {
    fails(
        |faults| faults.waiting = Some(("ErrImagePull", "no such host")),
        1,
        &["the node cannot pull the image registry.example/etcd:3.6.8-0: no such host", "AlwaysPullImages", "--image"],
    );
}

#[test]
fn a_pod_that_never_starts_says_what_it_waits_for() {
    fails(
        |faults| faults.waiting = Some(("ContainerCreating", "volume not ready")),
        1,
        &["did not start within 6s", "volume not ready"],
    );
}

#[test]
fn an_image_without_etcdctl() {
    fails(|faults| faults.no_etcdctl = true, 1, &["contains no etcdctl", "--image"]);
}

#[test]
fn keys_that_root_may_not_read_are_read_with_one_capability_more() {
    let rig = Rig::with(|faults| faults.etcdctl_fails = Some("Error: open /pki/server.key: permission denied\n"));
    rig.run(&["--out", "x.db"]).code(0).leaves_only(&["x.db"]);
    let jobs = rig.cluster.requests("POST", "/jobs");
    let capabilities = |index: usize| {
        let job = jobs[index].json();
        job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]["add"].clone()
    };
    assert_eq!(jobs.len(), 2);
    assert!(capabilities(0).is_null());
    assert_eq!(capabilities(1), serde_json::json!(["DAC_OVERRIDE"]));
}

#[test]
fn a_certificate_that_etcd_does_not_accept() {
    fails(
        |faults| faults.etcdctl_fails = Some("Error: remote error: tls: bad certificate\n"),
        1,
        &["etcdctl failed on the node", "tls: bad certificate"],
    );
}

#[test]
fn a_full_disk_on_the_node() {
    fails(
        |faults| faults.etcdctl_fails = Some("Error: write /snapshot/snapshot.db.part: no space left on device\n"),
        1,
        &["the node ran out of space"],
    );
}

#[test]
fn a_node_without_free_space_or_under_pressure_is_refused_before_anything_is_created() {
    for (script, says) in [
        (
            Box::new(|faults: &mut Faults| faults.available = Some(1 << 30)) as Box<dyn FnOnce(&mut Faults)>,
            "not enough free space on node cp1",
        ),
        (
            Box::new(|faults: &mut Faults| faults.node_condition = Some(("DiskPressure", "True"))),
            "node cp1 is under disk pressure",
        ),
    ] {
        let rig = Rig::with(script);
        rig.run(&["--out", "x.db"]).code(1).says(says).says("nothing was created").leaves_only(&[]);
        assert!(rig.cluster.requests("POST", "/jobs").is_empty());
    }
}

#[test]
fn a_kubelet_that_does_not_serve_its_logs() {
    fails(|faults| faults.logs_status = Some(405), 1, &["does not serve its logs", "enableSystemLogHandler"]);
    fails(
        |faults| faults.pod_logs_dir = Some("/data/pods"),
        1,
        &["keeps pods' logs in /data/pods, outside of /var/log"],
    );
}

#[test]
fn a_storage_limit_that_would_evict_the_pod() {
    fails(
        |faults| faults.storage_limit = Some("1Mi"),
        3,
        &["LimitRange small", "limits the pod to 1Mi of ephemeral storage"],
    );
}

#[test]
fn an_eviction() {
    fails(|faults| faults.evicted = true, 1, &["the node evicted the snapshot's pod", "low on resource"]);
}
