//! The right that a call needs, in RBAC's terms, so that a refusal can say which rule is missing.

use std::fmt;

use serde_json::json;

/// A verb on a resource, perhaps in a namespace, perhaps on one object.
///
/// Meaning and spelling are those of a SelfSubjectAccessReview's `resourceAttributes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `get`, `list`, `create`, `patch` or `delete`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural resource name.
    pub resource: &'static str,
    /// Subresource, such as `exec` or `proxy`.
    pub subresource: Option<&'static str>,
    /// Namespace; `None` for cluster-scoped resources.
    pub namespace: Option<String>,
    /// The one object meant, where that matters to the rule.
    pub name: Option<String>,
}

impl Access {
    /// A right on a resource of a namespace.
    pub fn namespaced(verb: &'static str, group: &'static str, resource: &'static str, namespace: &str) -> Self {
        Access { verb, group, resource, subresource: None, namespace: Some(namespace.to_owned()), name: None }
    }

    /// A right on one cluster-scoped object of the core group.
    pub fn cluster_scoped(verb: &'static str, resource: &'static str, name: &str) -> Self {
        Access { verb, group: "", resource, subresource: None, namespace: None, name: Some(name.to_owned()) }
    }

    /// The same right on a subresource.
    #[must_use]
    pub fn subresource(mut self, subresource: &'static str) -> Self {
        self.subresource = Some(subresource);
        self
    }

    /// The same right with the verb that the cluster names, if that is one of ours.
    pub(super) fn with_verb(mut self, verb: Option<&str>) -> Self {
        let known = ["get", "list", "create", "patch", "delete"];
        self.verb = known.into_iter().find(|known| Some(*known) == verb).unwrap_or(self.verb);
        self
    }

    /// The verbs that grant it: a stream to a pod is `get` to older clusters and `create` to newer ones (1.35,
    /// `AuthorizePodWebsocketUpgradeCreatePermission`).
    fn verbs(&self) -> Vec<&str> {
        match self.subresource {
            Some("exec" | "portforward") => vec!["get", "create"],
            _ => vec![self.verb],
        }
    }

    /// The resource as RBAC writes it: `pods/exec`, `jobs.batch`.
    fn resource_in_rule(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.to_owned(),
        }
    }

    /// The role and binding that grant exactly this right to `user`, as YAML for `kubectl apply -f -`.
    pub fn manifest(&self, user: Option<&str>) -> String {
        let (role_kind, binding_kind) = match self.namespace {
            Some(_) => ("Role", "RoleBinding"),
            None => ("ClusterRole", "ClusterRoleBinding"),
        };
        // One name for each right: applying the cure of the next refusal must not take this one away.
        let role = format!("etcd-backup-{}-{}", self.verbs()[0], self.resource_in_rule().replace('/', "-"));
        let mut metadata = json!({"name": role});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let mut rule = json!({
            "apiGroups": [self.group],
            "resources": [self.resource_in_rule()],
            "verbs": self.verbs(),
        });
        if self.namespace.is_none()
            && let Some(name) = &self.name
        {
            rule["resourceNames"] = json!([name]);
        }
        let subject = json!({
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "User",
            "name": user.unwrap_or("NAME-OF-THE-USER"),
        });
        let grant = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": role_kind,
            "metadata": metadata,
            "rules": [rule],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": binding_kind,
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [subject],
        });
        format!("{}---\n{}", crate::util::yaml::to_string(&grant), crate::util::yaml::to_string(&binding))
    }
}

impl fmt::Display for Access {
    /// Reads as the rest of "not allowed to …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource_in_rule())?;
        if !self.group.is_empty() {
            write!(f, " of API group {}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " of {name}")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_verb_resource_and_namespace() {
        let access = Access::namespaced("create", "batch", "jobs", "kube-system");
        assert_eq!(access.to_string(), "create jobs of API group batch in namespace kube-system");
        let access = Access::cluster_scoped("get", "nodes", "cp1").subresource("proxy");
        assert_eq!(access.to_string(), "get nodes/proxy of cp1");
    }

    #[test]
    fn the_manifest_grants_no_more_than_the_right() {
        let yaml = Access::cluster_scoped("get", "nodes", "cp1").subresource("proxy").manifest(Some("ann"));
        for line in ["kind: ClusterRole", "- nodes/proxy", "- cp1", "- get", "name: ann"] {
            assert!(yaml.contains(line), "{line} is missing in\n{yaml}");
        }
    }
}
