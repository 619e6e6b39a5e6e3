//! The permissions: what `rbac` prints is what a backup needs, and what docs/permissions.md shows.

use serde_json::{Value, json};

use super::reference::check_block;
use crate::support::{Rig, three};

/// The rules in a printed list of roles.
fn rules(list: &Value) -> Vec<Value> {
    list["items"].as_array().unwrap().iter().filter_map(|item| item["rules"].as_array()).flatten().cloned().collect()
}

#[test]
fn the_reference_of_permissions_is_what_rbac_prints() {
    let rig = Rig::members(three(), |_| ());
    let printed = rig.run(&["rbac", "--optional"]).code(0).says("as good as cluster-admin").printed();
    check_block("docs/permissions.md", "rbac", "yaml", &printed);
}

#[test]
fn a_backup_needs_the_required_rules_and_no_others() {
    let rig = Rig::members(three(), |_| ());
    let list = rig.run(&["rbac", "-o", "json", "--transport", "node"]).code(0).json();
    let required = rules(&list);
    rig.cluster.shared.state().faults.only = Some(required.clone());
    rig.run(&["--out", "x.db"])
        .code(0)
        .says("roles and health of the members are unknown")
        .says("not allowed to patch jobs")
        .leaves_only(&["x.db"]);
    for index in 0..required.len() {
        let mut fewer = required.clone();
        fewer.remove(index);
        rig.cluster.shared.state().faults.only = Some(fewer);
        rig.run(&["--out", "y.db"]).code(3).says("not allowed to").leaves_only(&["x.db"]);
    }
}

#[test]
fn with_the_optional_rules_nothing_is_missing() {
    let rig = Rig::members(three(), |_| ());
    let list = rig.run(&["rbac", "-o", "json", "--optional"]).code(0).json();
    rig.cluster.shared.state().faults.only = Some(rules(&list));
    let outcome = rig.run(&["--out", "x.db", "-o", "json"]).code(0);
    assert!(!outcome.stderr.contains("warning:"), "{}", outcome.stderr);
    assert_eq!(outcome.json()["cluster"]["uid"], "uid-of-kube-system");
}

#[test]
fn the_bindings_name_whom_they_are_for() {
    let rig = Rig::new();
    let words = ["rbac", "-o", "json", "--to-user", "ann", "--group", "ops", "--serviceaccount", "backup:runner"];
    let list = rig.run(&words).code(0).json();
    let group = "rbac.authorization.k8s.io";
    let subjects = json!([
        {"apiGroup": group, "kind": "User", "name": "ann"},
        {"apiGroup": group, "kind": "Group", "name": "ops"},
        {"kind": "ServiceAccount", "name": "runner", "namespace": "backup"},
    ]);
    let bindings: Vec<&Value> =
        list["items"].as_array().unwrap().iter().filter(|item| item["subjects"].is_array()).collect();
    assert_eq!(bindings.len(), 2);
    assert!(bindings.iter().all(|binding| binding["subjects"] == subjects), "{list}");
    rig.run(&["rbac"]).code(0).says("The bindings name no subject yet");
    rig.run(&["rbac", "--serviceaccount", "runner"]).code(2).says("expected NAMESPACE:NAME");
}

#[test]
fn every_way_names_the_pods_and_nodes_that_are_there() {
    let rig = Rig::members(three(), |_| ());
    for (transport, resource, names) in [
        ("node", "nodes/proxy", json!(["cp1", "cp2", "cp3"])),
        ("exec", "pods/exec", json!(["etcd-cp1", "etcd-cp2", "etcd-cp3"])),
        ("direct", "pods/portforward", json!(["etcd-cp1", "etcd-cp2", "etcd-cp3"])),
    ] {
        let list = rig.run(&["rbac", "-o", "json", "--transport", transport]).code(0).json();
        let rule = rules(&list).into_iter().find(|rule| rule["resources"] == json!([resource])).unwrap();
        assert_eq!(rule["resourceNames"], names, "{transport}");
    }
}
