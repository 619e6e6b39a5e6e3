//! The permission that a call needs, in RBAC's terms, so that a refusal can say which rule is missing.

use std::fmt;

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::rbac::{RoleGrant, user_subject};

/// A verb on a resource, as in `resourceAttributes` of a SelfSubjectAccessReview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    pub resource: &'static str,
    /// Subresource, such as `exec` or `proxy`.
    pub subresource: Option<&'static str>,
    /// `None` for cluster-scoped resources.
    pub namespace: Option<String>,
    /// The name of the object, if the permission is for one object alone.
    pub name: Option<String>,
}

impl Access {
    /// Creates a permission on a resource of a namespace.
    pub fn namespaced(verb: &'static str, group: &'static str, resource: &'static str, namespace: &str) -> Self {
        Access { verb, group, resource, subresource: None, namespace: Some(namespace.to_owned()), name: None }
    }

    /// Creates a permission on one cluster-scoped object of the core group.
    pub fn cluster_scoped(verb: &'static str, resource: &'static str, name: &str) -> Self {
        Access { verb, group: "", resource, subresource: None, namespace: None, name: Some(name.to_owned()) }
    }

    /// Returns the same permission on a subresource.
    #[must_use]
    pub fn subresource(mut self, subresource: &'static str) -> Self {
        self.subresource = Some(subresource);
        self
    }

    /// Returns the same permission with the verb that the API server named, if it is one that this program uses.
    pub(super) fn with_verb(mut self, verb: Option<&str>) -> Self {
        let known = ["get", "list", "create", "patch", "delete"];
        self.verb = known.into_iter().find(|known| Some(*known) == verb).unwrap_or(self.verb);
        self
    }

    /// Returns the verbs that grant it. A stream to a pod is `get` in older clusters and `create` in newer ones (1.35,
    /// `AuthorizePodWebsocketUpgradeCreatePermission`).
    fn verbs(&self) -> Vec<&str> {
        match self.subresource {
            Some("exec" | "portforward") => vec!["get", "create"],
            _ => vec![self.verb],
        }
    }

    /// Returns the resource as RBAC writes it, such as `pods/exec`.
    fn resource_in_rule(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.to_owned(),
        }
    }

    fn rule(&self) -> PolicyRule {
        PolicyRule {
            api_groups: Some(vec![self.group.to_owned()]),
            resources: Some(vec![self.resource_in_rule()]),
            resource_names: self.name.clone().filter(|_| self.namespace.is_none()).map(|name| vec![name]),
            verbs: self.verbs().into_iter().map(str::to_owned).collect(),
            ..PolicyRule::default()
        }
    }

    /// Returns the role and the binding that grant exactly this permission to `user`, as YAML for `kubectl apply -f -`.
    pub fn manifest(&self, user: Option<&str>) -> String {
        // One name for each permission, so that applying the next manifest does not take this permission away.
        let name = format!("etcd-backup-{}-{}", self.verbs()[0], self.resource_in_rule().replace('/', "-"));
        let subjects = user.map(user_subject).into_iter().collect();
        RoleGrant { name, namespace: self.namespace.clone(), rules: vec![self.rule()], subjects }.to_yaml()
    }
}

impl fmt::Display for Access {
    /// Writes the rest of "not allowed to …".
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
    fn the_manifest_grants_no_more_than_the_permission() {
        let yaml = Access::cluster_scoped("get", "nodes", "cp1").subresource("proxy").manifest(Some("ann"));
        for line in ["kind: ClusterRole", "- nodes/proxy", "- cp1", "- get", "name: ann"] {
            assert!(yaml.contains(line), "{line} is missing in\n{yaml}");
        }
    }
}
