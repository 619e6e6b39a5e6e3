//! `--dry-run=client`: everything is looked at, and nothing is created.

use serde_json::json;

use crate::support::fake_cluster::faults::Faults;
use crate::support::{Rig, three};

const DRY: [&str; 3] = ["--dry-run=client", "--out", "x.db"];

/// A dry run that must find this.
fn finds(script: impl FnOnce(&mut Faults), code: i32, says: &[&str]) {
    let rig = Rig::with(script);
    let mut outcome = rig.run(&DRY).code(code);
    for text in says {
        outcome = outcome.says(text);
    }
    outcome.leaves_only(&[]);
    assert!(rig.cluster.requests("POST", "/jobs").is_empty(), "it created a job");
}

#[test]
fn all_is_well_and_nothing_is_created() {
    let rig = Rig::members(three(), |_| ());
    let outcome = rig.run(&DRY).code(0);
    assert!(outcome.printed().starts_with("job.batch/etcd-backup-"), "{}", outcome.printed());
    assert!(outcome.printed().ends_with(" created (dry run)\n"), "{}", outcome.printed());
    for text in [
        "CHECK",
        "follower  healthy",
        "the members know a leader",
        "all 3 required rules are granted",
        "healthy, serves files, 85.9 GB free",
        "one job with one pod would be created in kube-system",
        "x.db can be written",
    ] {
        assert!(outcome.stderr.contains(text), "{text:?} is missing in\n{}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("warning  "), "{}", outcome.stderr);
    outcome.leaves_only(&[]);
    for method in ["POST", "PATCH", "DELETE"] {
        let changes = rig.cluster.requests(method, "/jobs");
        assert!(changes.is_empty(), "{changes:?}");
    }
}

#[test]
fn the_manifest_is_that_of_the_job_that_a_backup_creates() {
    let rig = Rig::new();
    let words: Vec<&str> = DRY.iter().copied().chain(["-o", "json"]).collect();
    let mut dry = rig.run(&words).code(0).json();
    rig.run(&["--out", "x.db"]).code(0);
    let mut real = rig.cluster.requests("POST", "/jobs")[0].json();
    let names: Vec<String> =
        [&dry, &real].iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    assert_ne!(names[0], names[1]);
    for job in [&mut dry, &mut real] {
        for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
            job.pointer_mut(labels).unwrap()["app.kubernetes.io/instance"] = json!("x");
        }
        job["metadata"]["name"] = json!("x");
    }
    assert_eq!(dry, real);
    let yaml = rig.run(&["--dry-run=client", "--out", "y.db", "-o", "yaml"]).code(0).printed();
    assert!(yaml.contains("kind: Job\n"), "{yaml}");
}

#[test]
fn all_missing_permissions_are_listed() {
    finds(
        |faults| {
            faults.forbid.extend([("get", "nodes/proxy"), ("create", "jobs")]);
        },
        3,
        &[
            "node cannot be used: not allowed to create jobs of API group batch in namespace kube-system, or to get nodes/proxy of cp1",
            "cannot take a snapshot of pod kube-system/etcd-cp1: no transport is available",
            "hint: run 'kubectl etcd-backup rbac'",
        ],
    );
}

#[test]
fn a_missing_optional_permission_comes_with_its_consequence() {
    finds(
        |faults| faults.forbid.push(("patch", "jobs")),
        0,
        &["not allowed to patch jobs of API group batch in namespace kube-system; without it: after a kill"],
    );
}

#[test]
fn the_requested_transport_is_checked() {
    let rig = Rig::new();
    rig.run(&["--dry-run=client", "--transport", "exec"]).code(1).says("has no shell").leaves_only(&[]);
    rig.cluster.shared.state().faults.forbid.push(("get", "pods/exec"));
    rig.run(&["--dry-run=client", "--transport", "exec"])
        .code(3)
        .says("not allowed to get pods/exec of etcd-cp1 in namespace kube-system")
        .leaves_only(&[]);
}

#[test]
fn one_problem_does_not_hide_the_others() {
    finds(
        |faults| {
            faults.not_ready = true;
            faults.available = Some(1 << 30);
        },
        1,
        &[
            "pod kube-system/etcd-cp1 is not ready: scripted: not ready",
            "not enough free space on node cp1",
            "error: the backup would fail: ",
        ],
    );
    finds(|faults| faults.logs_status = Some(405), 1, &["does not serve its logs"]);
    finds(|faults| faults.node_condition = Some(("DiskPressure", "True")), 1, &["node cp1 is under disk pressure"]);
}

#[test]
fn a_machine_without_free_space_and_a_file_that_exists() {
    finds(
        |faults| {
            faults.member("cp1").db_size = Some(1 << 55);
            faults.available = Some(u64::MAX / 2);
        },
        1,
        &["not enough space for x.db: ", " free, the database has 36.0 PB"],
    );
    let rig = Rig::new();
    std::fs::write(rig.path("x.db"), "old").unwrap();
    rig.run(&DRY).code(1).says("cannot write x.db: it already exists").leaves_only(&["x.db"]);
}

#[test]
fn an_alarm_is_reported() {
    let rig = Rig::members(three(), |faults| faults.member("cp2").alarm = Some("NOSPACE"));
    let words: Vec<&str> = DRY.iter().copied().chain(["--member", "cp2"]).collect();
    let outcome = rig.run(&words).code(0).says("member cp2 has the alarm NOSPACE");
    let row = outcome.stderr.lines().find(|line| line.starts_with("member ")).unwrap();
    assert!(row.contains("warning") && row.contains("NOSPACE"), "{row}");
}

#[test]
fn the_other_strategies_of_kubectl() {
    let rig = Rig::new();
    rig.run(&["--dry-run=server"]).code(2).says("checks the job, but not its pod").says("--dry-run=client");
    rig.run(&["--dry-run"]).code(2).says("use --dry-run=client");
    rig.run(&["--dry-run=none", "--out", "x.db"]).code(0).leaves_only(&["x.db"]);
}

#[test]
fn whether_the_image_must_be_pulled() {
    finds(|_| (), 0, &["registry.example/etcd:3.6.8-0 is on the node"]);
    finds(
        |faults| faults.other_image = Some("registry.example/other:1"),
        0,
        &["is not on the node and must be pulled"],
    );
}

#[test]
fn a_directory_that_is_missing_is_reported_before_anything_else() {
    let rig = Rig::new();
    rig.run(&["--dry-run=client", "--out-dir", "missing"]).code(1).says("cannot write to directory missing");
    rig.run(&["--out-dir", "missing"]).code(1).says("cannot write to directory missing").leaves_only(&[]);
    assert!(rig.cluster.requests("POST", "/jobs").is_empty());
}
