//! The roles and bindings of one transport, for the members that were found.

use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};
use serde_json::Value;

use crate::etcd::Member;
use crate::k8s::RoleGrant;
use crate::snapshot::{Permission, Scope, Transport, permissions, risk_note};

const ROLE_NAME: &str = "kubectl-etcd-backup";

/// The most columns of a line of comment.
const COMMENT_WIDTH: usize = 100;

/// What `rbac` prints.
pub(super) struct RbacManifest<'m> {
    pub members: &'m [Member],
    pub transport: Transport,
    pub subjects: Vec<Subject>,
}

/// A role, and the permission behind each of its rules.
struct DocumentedGrant {
    grant: RoleGrant,
    permissions: Vec<Permission>,
}

impl RbacManifest<'_> {
    /// Returns the roles and bindings as objects: the required ones, and with `optional` the others, too.
    pub fn objects(&self, optional: bool) -> Vec<Value> {
        let mut grants = self.grants(true);
        if optional {
            grants.extend(self.grants(false));
        }
        grants.iter().flat_map(|DocumentedGrant { grant, .. }| [grant.role(), grant.binding()]).collect()
    }

    /// Returns the manifest for `kubectl apply -f -`, with the purpose of each rule as a comment. Without `optional`, the
    /// optional roles are comments, too.
    pub fn to_yaml(&self, optional: bool) -> String {
        let yaml = |required| {
            let documents: Vec<String> = self.grants(required).iter().map(DocumentedGrant::to_yaml).collect();
            documents.join("---\n")
        };
        let optional_roles = if optional {
            format!("# Optional:\n{}", yaml(false))
        } else {
            let lines: String = yaml(false).lines().map(|line| format!("# {line}\n")).collect();
            format!("# Optional, with --optional:\n#\n{lines}")
        };
        format!("{}#\n# Required:\n{}---\n{optional_roles}", wrap_comment(risk_note(self.transport)), yaml(true))
    }

    /// Returns the Role and the ClusterRole with the required rules, or with the optional ones.
    fn grants(&self, required: bool) -> Vec<DocumentedGrant> {
        let name = if required { ROLE_NAME.to_owned() } else { format!("{ROLE_NAME}-optional") };
        let namespaces = [Some(self.members[0].namespace.clone()), None];
        let grants = namespaces.into_iter().map(|namespace| {
            let permissions: Vec<Permission> = permissions(self.transport)
                .iter()
                .filter(|permission| permission.is_required() == required)
                .filter(|permission| permission.scope.is_namespaced() == namespace.is_some())
                .filter(|permission| self.can_be_named(permission.scope))
                .copied()
                .collect();
            let rules = permissions.iter().map(|permission| self.rule(permission)).collect();
            let grant = RoleGrant { name: name.clone(), namespace, rules, subjects: self.subjects.clone() };
            DocumentedGrant { grant, permissions }
        });
        grants.filter(|documented| !documented.permissions.is_empty()).collect()
    }

    fn rule(&self, permission: &Permission) -> PolicyRule {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(words(&[permission.group])),
            resources: Some(words(permission.resources)),
            resource_names: (permission.scope != Scope::Namespace).then(|| words(&self.names(permission.scope))),
            verbs: words(permission.verbs),
            ..PolicyRule::default()
        }
    }

    /// Reports whether a rule of this scope has names to list. A rule with an empty list would be one for all names.
    fn can_be_named(&self, scope: Scope) -> bool {
        scope == Scope::Namespace || !self.names(scope).is_empty()
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
}

impl DocumentedGrant {
    fn to_yaml(&self) -> String {
        self.grant.to_yaml_with_comments(|index| {
            let Permission { purpose, fallback, .. } = self.permissions[index];
            let fallback = fallback.map(|fallback| format!("without it: {fallback}"));
            [purpose.to_owned()].into_iter().chain(fallback).collect()
        })
    }
}

/// Wraps a paragraph into lines of comment.
fn wrap_comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + word.len() > COMMENT_WIDTH {
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
    use crate::util::yaml;

    #[test]
    fn the_yaml_and_the_objects_grant_the_same() {
        let members: Vec<Member> =
            ["etcd-cp1", "etcd-cp2"].iter().filter_map(|name| Member::from_pod(pod(name, &["etcd"], true))).collect();
        for transport in [Transport::Node, Transport::Direct, Transport::Exec] {
            let manifest = RbacManifest { members: &members, transport, subjects: Vec::new() };
            for optional in [true, false] {
                let text = manifest.to_yaml(optional);
                let documents = text.split("---\n").filter_map(yaml::from_str::<Value>);
                let documents: Vec<Value> = documents.filter(|document| !document.is_null()).collect();
                assert_eq!(documents, manifest.objects(optional), "{text}");
            }
            assert!(manifest.objects(true).len() > manifest.objects(false).len());
        }
    }

    #[test]
    fn each_rule_says_what_it_is_for() {
        let members: Vec<Member> = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).into_iter().collect();
        let manifest = RbacManifest { members: &members, transport: Transport::Node, subjects: Vec::new() };
        let text = manifest.to_yaml(true);
        for Permission { purpose, fallback, .. } in permissions(Transport::Node) {
            assert!(text.contains(&format!("\n# {purpose}\n")), "{purpose} is missing in\n{text}");
            assert!(fallback.is_none_or(|fallback| text.contains(&format!("\n# without it: {fallback}\n"))));
        }
    }
}
