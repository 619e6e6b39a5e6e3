//! `rbac`: the least roles and bindings for a backup of the members that are there.

use serde_json::{Value, json};

use crate::cli::RbacOptions;
use crate::error::{Error, Result};
use crate::etcd::{Member, discovery};
use crate::k8s::KubeClient;
use crate::snapshot::{Permission, Scope, Transport, TransportPreference, permissions, risk_note};
use crate::ui::{Format, Ui};
use crate::util::events::Events;

const API: &str = "rbac.authorization.k8s.io";
const NAME: &str = "kubectl-etcd-backup";

/// Finds the members and prints the manifests.
pub(super) async fn run(options: &RbacOptions, ui: &Ui) -> Result<()> {
    let cluster = KubeClient::connect(&options.cluster.connect).await?;
    let etcd = &options.cluster.etcd;
    let members = discovery::members(&cluster, etcd.namespace.as_deref(), etcd.selector.as_deref()).await?;
    let transport = match options.transport {
        TransportPreference::Auto => Transport::Node,
        TransportPreference::Only(transport) => transport,
    };
    let sheet = Sheet { members: &members, subjects: subjects(options) };
    if transport == Transport::Node && sheet.names(Scope::Nodes).is_empty() {
        return Err(Error::failed("no etcd pod is on a node yet, so there is no node to name in the rules"));
    }
    ui.warn(risk_note(transport));
    if sheet.subjects.is_empty() {
        ui.status("Nobody is named yet: --to-user, --to-group or --to-serviceaccount puts a name into the bindings.");
    }
    match options.format {
        Some(Format::Json) => {
            let mut items = sheet.values(&sheet.grants(transport, true));
            if options.optional {
                items.extend(sheet.values(&sheet.grants(transport, false)));
            }
            ui.document(Format::Json, &json!({"apiVersion": "v1", "kind": "List", "items": items}))
        }
        _ => sheet.text(transport, options.optional).lines().try_for_each(|line| ui.println(line)),
    }
}

/// The subjects of the bindings.
fn subjects(options: &RbacOptions) -> Vec<Value> {
    let named = |kind: &'static str| move |name: &String| json!({"apiGroup": API, "kind": kind, "name": name});
    let accounts = options.service_accounts.iter();
    let accounts =
        accounts.map(|(namespace, name)| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
    options.users.iter().map(named("User")).chain(options.groups.iter().map(named("Group"))).chain(accounts).collect()
}

/// A role and the rules in it.
struct Grant {
    kind: &'static str,
    name: String,
    namespace: Option<String>,
    rules: Vec<Permission>,
}

struct Sheet<'m> {
    members: &'m [Member],
    subjects: Vec<Value>,
}

impl Sheet<'_> {
    /// The roles for the required rules, or for the others.
    fn grants(&self, transport: Transport, required: bool) -> Vec<Grant> {
        let name = if required { NAME.to_owned() } else { format!("{NAME}-optional") };
        let of = |in_namespace: bool| -> Vec<Permission> {
            let wanted = permissions(transport).iter().filter(|right| right.is_required() == required);
            let is_namespaced = |right: &&Permission| matches!(right.scope, Scope::Namespace | Scope::EtcdPods);
            // A rule with an empty list of names would be one for all names.
            let is_named = |right: &&Permission| right.scope == Scope::Namespace || !self.names(right.scope).is_empty();
            wanted.filter(|right| is_namespaced(right) == in_namespace).filter(is_named).copied().collect()
        };
        let namespace = Some(self.members[0].namespace.clone());
        let roles = [
            Grant { kind: "Role", name: name.clone(), namespace, rules: of(true) },
            Grant { kind: "ClusterRole", name, namespace: None, rules: of(false) },
        ];
        roles.into_iter().filter(|grant| !grant.rules.is_empty()).collect()
    }

    fn names(&self, scope: Scope) -> Vec<&str> {
        let mut names: Vec<&str> = match scope {
            Scope::Namespace => Vec::new(),
            Scope::EtcdPods => self.members.iter().map(|member| member.pod_name.as_str()).collect(),
            Scope::Nodes => self.members.iter().map(|member| member.node.as_str()).collect(),
            Scope::KubeSystem => vec!["kube-system"],
        };
        names.retain(|name| !name.is_empty());
        names.dedup();
        names
    }

    fn subjects(&self) -> Vec<Value> {
        if self.subjects.is_empty() {
            vec![json!({"apiGroup": API, "kind": "User", "name": "NAME-OF-THE-USER"})]
        } else {
            self.subjects.clone()
        }
    }

    /// The grants and their bindings as objects.
    fn values(&self, grants: &[Grant]) -> Vec<Value> {
        let mut values = Vec::new();
        for grant in grants {
            let mut metadata = json!({"name": grant.name});
            if let Some(namespace) = &grant.namespace {
                metadata["namespace"] = json!(namespace);
            }
            let rule = |right: &Permission| {
                let mut rule = json!({"apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs});
                if right.scope != Scope::Namespace {
                    rule["resourceNames"] = json!(self.names(right.scope));
                }
                rule
            };
            let rules: Vec<Value> = grant.rules.iter().map(rule).collect();
            values.push(
                json!({"apiVersion": format!("{API}/v1"), "kind": grant.kind, "metadata": metadata, "rules": rules}),
            );
            values.push(json!({
                "apiVersion": format!("{API}/v1"),
                "kind": format!("{}Binding", grant.kind),
                "metadata": metadata,
                "roleRef": {"apiGroup": API, "kind": grant.kind, "name": grant.name},
                "subjects": self.subjects(),
            }));
        }
        values
    }

    /// All of it for `kubectl apply -f -`, with what each rule is for. The optional rules are roles of their own, in
    /// comments unless they are wanted.
    fn text(&self, transport: Transport, optional: bool) -> String {
        let required: Vec<String> = self.grants(transport, true).iter().map(|grant| self.grant_text(grant)).collect();
        let others: Vec<String> = self.grants(transport, false).iter().map(|grant| self.grant_text(grant)).collect();
        let mut text = comment(risk_note(transport));
        text.push_str("#\n# Required:\n");
        text.push_str(&required.join("---\n"));
        text.push_str("---\n");
        text.push_str(match optional {
            true => "# Optional:\n",
            false => "# Optional, with --optional:\n#\n",
        });
        let others = others.join("---\n");
        if optional {
            text.push_str(&others);
        } else {
            others.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
        }
        text
    }

    fn grant_text(&self, grant: &Grant) -> String {
        let metadata = |text: &mut String| {
            text.push_str(&format!("metadata:\n  name: {}\n", grant.name));
            if let Some(namespace) = &grant.namespace {
                text.push_str(&format!("  namespace: {}\n", plain(namespace)));
            }
        };
        let mut text = format!("apiVersion: {API}/v1\nkind: {}\n", grant.kind);
        metadata(&mut text);
        text.push_str("rules:\n");
        for right in &grant.rules {
            text.push_str(&format!("# {}\n", right.purpose));
            if let Some(fallback) = right.fallback {
                text.push_str(&format!("# without it: {fallback}\n"));
            }
            text.push_str(&format!("- apiGroups: {}\n", list(&[right.group])));
            text.push_str(&format!("  resources: {}\n", list(right.resources)));
            if right.scope != Scope::Namespace {
                text.push_str(&format!("  resourceNames: {}\n", list(&self.names(right.scope))));
            }
            text.push_str(&format!("  verbs: {}\n", list(right.verbs)));
        }
        text.push_str(&format!("---\napiVersion: {API}/v1\nkind: {}Binding\n", grant.kind));
        metadata(&mut text);
        text.push_str(&format!(
            "roleRef:\n  apiGroup: {API}\n  kind: {}\n  name: {}\nsubjects:\n",
            grant.kind, grant.name
        ));
        for subject in self.subjects() {
            let mut start = "- ";
            for (key, value) in subject.as_object().into_iter().flatten() {
                text.push_str(&format!("{start}{key}: {}\n", plain(value.as_str().unwrap_or_default())));
                start = "  ";
            }
        }
        text
    }
}

fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| plain(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A word that YAML reads as this very text: bare where that is certain, else quoted as JSON, which is YAML, too.
fn plain(word: &str) -> String {
    let bare = word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.chars().all(|character| character.is_ascii_alphanumeric() || "-./".contains(character))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&word.to_ascii_lowercase().as_str());
    if bare { word.to_owned() } else { Value::from(word).to_string() }
}

/// A paragraph as lines of comment.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + word.len() > 100 {
            lines.push_str(&format!("{line}\n"));
            line = String::from("#");
        }
        line.push_str(&format!(" {word}"));
    }
    lines.push_str(&format!("{line}\n"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::pod;

    #[test]
    fn the_text_and_the_objects_say_the_same() {
        let members: Vec<Member> =
            ["etcd-cp1", "etcd-cp2"].iter().filter_map(|name| Member::from_pod(pod(name, &["etcd"], true))).collect();
        let subject = json!({"apiGroup": API, "kind": "User", "name": "on: \"x\"\n"});
        let sheet = Sheet { members: &members, subjects: vec![subject] };
        for transport in [Transport::Node, Transport::Direct, Transport::Exec] {
            let text = sheet.text(transport, true);
            let read: Vec<Value> = text.split("---\n").filter_map(crate::util::yaml::from_str).collect();
            let mut values = sheet.values(&sheet.grants(transport, true));
            values.extend(sheet.values(&sheet.grants(transport, false)));
            assert_eq!(read, values, "{text}");
            let least: Vec<Value> = sheet
                .text(transport, false)
                .split("---\n")
                .filter_map(crate::util::yaml::from_str)
                .filter(|value: &Value| !value.is_null())
                .collect();
            assert_eq!(least, sheet.values(&sheet.grants(transport, true)));
        }
    }

    #[test]
    fn words_that_yaml_would_read_as_something_else_are_quoted() {
        assert_eq!(
            list(&["", "cp1", "on", "1e3", "nodes/proxy", "a:b"]),
            r#"["", cp1, "on", "1e3", nodes/proxy, "a:b"]"#
        );
    }
}
