//! Users with exactly the rules that docs/permissions.md prints, with one less, and without the optional ones. The rules are
//! read from that page, so that the page and these scenarios cannot drift apart.

use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, User, until};
use crate::harness::undo::Undo;
use crate::harness::{Needs, Scenario, scenario};

const PAGE: &str = include_str!("../../../docs/permissions.md");

/// A verb on a resource, of a Role or of a ClusterRole.
#[derive(Clone, PartialEq)]
struct Rule {
    cluster_wide: bool,
    group: String,
    resource: String,
    verb: String,
    /// As on that page: `cp1` and `etcd-cp1` stand for nodes and pods that are called otherwise here.
    names: Vec<String>,
}

impl Rule {
    fn title(&self) -> String {
        format!("{} {}", self.verb, self.resource)
    }

    fn names_here(&self, nodes: &[String]) -> Vec<String> {
        match self.resource.split('/').next() {
            _ if self.names.is_empty() => Vec::new(),
            Some("nodes") => nodes.to_vec(),
            Some("pods") => nodes.iter().map(|node| format!("etcd-{node}")).collect(),
            _ => self.names.clone(),
        }
    }
}

pub fn scenarios() -> Vec<Scenario> {
    let (required, optional) = (rules_from_docs(false), rules_from_docs(true));
    let mut found = Vec::new();
    let all: Vec<Rule> = required.iter().chain(&optional).cloned().collect();
    found.push(scenario("permissions: all rules of docs/permissions.md", Needs::Any, move |cluster| {
        everything(cluster, &all)
    }));
    let rules = required.clone();
    found.push(scenario("permissions: only the required rules", Needs::Any, move |cluster| {
        only_required(cluster, &rules)
    }));
    for missing in &required {
        let rules: Vec<Rule> = required.iter().chain(&optional).filter(|rule| *rule != missing).cloned().collect();
        let missing = missing.clone();
        let name = format!("permissions: without the required '{}'", missing.title());
        found.push(scenario(&name, Needs::Any, move |cluster| without_required(cluster, &rules, &missing)));
    }
    for missing in &optional {
        let rules: Vec<Rule> = required.iter().chain(&optional).filter(|rule| *rule != missing).cloned().collect();
        let missing = missing.clone();
        let name = format!("permissions: without the optional '{}'", missing.title());
        found.push(scenario(&name, Needs::Any, move |cluster| without_optional(cluster, &rules, &missing)));
    }
    found
}

/// The rules of the manifest: those of its roles whose name ends with `-optional`, or the others.
fn rules_from_docs(optional: bool) -> Vec<Rule> {
    let (_, section) = PAGE.split_once("\n## The whole manifest\n").expect("docs/permissions.md has the manifest");
    let section = section.split("\n## ").next().unwrap_or(section);
    let (_, block) = section.split_once("```yaml\n").expect("it has a block of YAML");
    let block = block.split("\n```").next().unwrap_or(block);
    let mut rules = Vec::new();
    for document in block.split("\n---\n") {
        let object: Value = serde_yaml::from_str(document).expect("the manifest is valid YAML");
        let is_optional = object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-optional"));
        if matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")) && is_optional == optional {
            rules.extend(flat(&object["rules"], object["kind"] == "ClusterRole"));
        }
    }
    assert!(!rules.is_empty(), "the manifest has no rules");
    rules
}

/// One rule for each verb on each resource.
fn flat(rules: &Value, cluster_wide: bool) -> Vec<Rule> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut flat = Vec::new();
    for rule in rules.as_array().expect("a list of rules") {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                flat.push(Rule {
                    cluster_wide,
                    group: texts(&rule["apiGroups"])[0].clone(),
                    resource: resource.clone(),
                    verb,
                    names: texts(&rule["resourceNames"]),
                });
            }
        }
    }
    flat
}

/// A user with these rules, until the end.
fn with_rules<'c>(cluster: &'c Cluster, rules: &[Rule]) -> (User, Undo<'c>) {
    let name = format!("e2e-{}-{}", std::process::id(), serial());
    let nodes = cluster.etcd_nodes();
    let mut manifest = String::new();
    for cluster_wide in [false, true] {
        let rules: Vec<Value> = rules
            .iter()
            .filter(|rule| rule.cluster_wide == cluster_wide)
            .map(|rule| {
                let mut json = json!({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": [rule.verb]});
                if !rule.names.is_empty() {
                    json["resourceNames"] = json!(rule.names_here(&nodes));
                }
                json
            })
            .collect();
        let kind = if cluster_wide { "ClusterRole" } else { "Role" };
        let mut metadata = json!({"name": name, "labels": {"kubectl-etcd-backup-e2e": "true"}});
        if !cluster_wide {
            metadata["namespace"] = json!("kube-system");
        }
        let group = "rbac.authorization.k8s.io";
        for object in [
            json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": metadata, "rules": rules}),
            json!({"apiVersion": format!("{group}/v1"), "kind": format!("{kind}Binding"), "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": kind, "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": name}]}),
        ] {
            manifest.push_str(&format!("---\n{object}\n"));
        }
    }
    let undo = cluster.with(&manifest);
    // The API server's authorizer learns of them a moment later; the last ones written are the last ones known.
    until(std::time::Duration::from_secs(30), "the rules are in force", || {
        [false, true].iter().all(|wide| {
            rules.iter().rfind(|rule| rule.cluster_wide == *wide).is_none_or(|rule| may(cluster, &name, rule, &nodes))
        })
    });
    (cluster.user(&name), undo)
}

fn serial() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SERIAL: AtomicUsize = AtomicUsize::new(0);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

fn may(cluster: &Cluster, user: &str, rule: &Rule, nodes: &[String]) -> bool {
    let (resource, sub) = rule.resource.split_once('/').unwrap_or((&rule.resource, ""));
    let resource = if rule.group.is_empty() { resource.to_owned() } else { format!("{resource}.{}", rule.group) };
    let target = rule.names_here(nodes).first().map_or_else(|| resource.clone(), |name| format!("{resource}/{name}"));
    let subresource = format!("--subresource={sub}");
    let mut args = vec!["auth", "can-i", rule.verb.as_str(), target.as_str(), "--as", user, subresource.as_str()];
    if !rule.cluster_wide {
        args.extend(["-n", "kube-system"]);
    }
    cluster.try_kubectl(&args).is_ok()
}

fn everything(cluster: &Cluster, rules: &[Rule]) {
    let (user, _undo) = with_rules(cluster, rules);
    let outcome = cluster.backup(&["-o", "json"]).with_user(&user).run().says_nothing_of("not allowed");
    let document: Value = serde_json::from_str(&outcome.stdout).expect("standard output is JSON");
    assert_eq!(document["warnings"], json!([]), "{document}");
    assert!(document["cluster"]["uid"].is_string(), "{document}");
    outcome.verified();
}

fn only_required(cluster: &Cluster, rules: &[Rule]) {
    let (user, _undo) = with_rules(cluster, rules);
    let outcome = cluster.backup(&["-o", "json"]).with_user(&user).run();
    // What it could not tell, as the table of that page says.
    let outcome = outcome
        .says("roles and health of the members are unknown")
        .says("the condition of node")
        .says("not allowed to patch jobs");
    let document: Value = serde_json::from_str(&outcome.stdout).expect("standard output is JSON");
    assert!(document["cluster"]["uid"].is_null(), "{document}");
    outcome.verified();
}

fn without_required(cluster: &Cluster, rules: &[Rule], missing: &Rule) {
    let (user, _undo) = with_rules(cluster, rules);
    // The reason stands in the error, not among the warnings.
    let outcome = cluster.backup(&["--pod-running-timeout", "20s"]).with_user(&user).run().code(3).without_file();
    let error = outcome.said.split("error: ").nth(1).unwrap_or_else(|| panic!("no error:\n{}", outcome.said));
    let words = format!("not allowed to {} {}", missing.verb, missing.resource);
    assert!(error.contains(&words), "{words:?} is missing:\n{}", outcome.said);
}

/// Pod Security refuses the job's pod, and only the job's events would say so.
fn unexplained(cluster: &Cluster, user: &User) {
    if !cluster.is_rig() {
        return;
    }
    let label = "pod-security.kubernetes.io/enforce";
    cluster.kubectl(&["label", "namespace", "kube-system", &format!("{label}=restricted")]);
    let _undo = Undo::by(|| {
        let _ = cluster.try_kubectl(&["label", "namespace", "kube-system", &format!("{label}-")]);
    });
    let outcome = cluster.backup(&["--pod-running-timeout", "7s"]).with_user(user).run().without_file();
    outcome.code(1).says("got no pod within 7s: not allowed to list the events");
}

/// A LimitRange is too low, and may not be named.
fn nameless(cluster: &Cluster, user: &User) {
    if !cluster.is_rig() {
        return;
    }
    let _undo = cluster.with(
        "{apiVersion: v1, kind: LimitRange, metadata: {name: e2e-small, namespace: kube-system}, spec: {limits: [{type: Container, default: {ephemeral-storage: 100Ki}}]}}",
    );
    let outcome = cluster.backup(&[]).with_user(user).run().code(3).without_file();
    outcome.says("a LimitRange of namespace kube-system limits the pod to 100Ki").says_nothing_of("e2e-small");
}

fn without_optional(cluster: &Cluster, rules: &[Rule], missing: &Rule) {
    let (user, _undo) = with_rules(cluster, rules);
    let outcome = cluster.backup(&["-o", "json"]).with_user(&user).run();
    let document: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no JSON:\n{}", outcome.said));
    let outcome = match (missing.verb.as_str(), missing.resource.as_str()) {
        ("patch", "jobs") => outcome.says("not allowed to patch jobs"),
        ("get", "nodes") => outcome.says("the condition of node"),
        ("get", "pods/exec") => outcome.says("roles and health of the members are unknown"),
        ("get", "namespaces") => {
            assert!(document["cluster"]["uid"].is_null(), "{document}");
            outcome
        }
        ("list", "jobs") => {
            let words = "not allowed to list jobs";
            cluster.plugin(&["cleanup"]).with_user(&user).run().code(3).says(words);
            outcome
        }
        ("list", "events") => {
            unexplained(cluster, &user);
            outcome
        }
        ("list", "limitranges") => {
            nameless(cluster, &user);
            outcome
        }
        ("get", "pods/portforward") => {
            let ends = |user: &User| {
                let members = cluster.plugin(&["members", "-o", "wide"]).with_user(user).run().code(0);
                members.stdout.contains("<unknown>")
            };
            assert!(ends(&user), "the end of a certificate is known");
            let administrator = cluster.plugin(&["members", "-o", "wide"]).run().code(0);
            administrator.says_nothing_of("<unknown>");
            outcome
        }
        // etcdctl's error is a detail of a copy that never began. The others matter to API servers of another version.
        ("get", "pods/log") | ("create", "pods/exec" | "pods/portforward") => outcome,
        (verb, resource) => {
            panic!("docs/permissions.md has an optional rule that no scenario knows: {verb} {resource}")
        }
    };
    outcome.verified();
}
