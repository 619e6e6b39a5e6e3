//! Roles with their bindings, as `kubectl apply` takes them.

use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};
use serde_json::{Value, json};

use crate::util::yaml;

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// A Role with its RoleBinding; without a namespace, a ClusterRole with its ClusterRoleBinding.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleGrant {
    pub name: String,
    pub namespace: Option<String>,
    pub rules: Vec<PolicyRule>,
    /// Whom the binding names; empty for a placeholder.
    pub subjects: Vec<Subject>,
}

impl RoleGrant {
    pub fn role(&self) -> Value {
        json!({
            "apiVersion": api_version(),
            "kind": self.role_kind(),
            "metadata": self.metadata(),
            "rules": self.rules,
        })
    }

    pub fn binding(&self) -> Value {
        let placeholder = [user_subject("NAME-OF-THE-USER")];
        json!({
            "apiVersion": api_version(),
            "kind": format!("{}Binding", self.role_kind()),
            "metadata": self.metadata(),
            "roleRef": {"apiGroup": API_GROUP, "kind": self.role_kind(), "name": self.name},
            "subjects": if self.subjects.is_empty() { &placeholder[..] } else { &self.subjects },
        })
    }

    /// Returns role and binding as YAML.
    pub fn to_yaml(&self) -> String {
        self.to_yaml_with_comments(|_| Vec::new())
    }

    /// Returns role and binding as YAML, with lines of comment in front of each rule; `comments` takes its index.
    pub fn to_yaml_with_comments(&self, comments: impl Fn(usize) -> Vec<String>) -> String {
        let mut text = String::new();
        let mut index = 0;
        for line in to_yaml(&self.role()).lines() {
            // The rules are the only list that is not nested in another one.
            if line.starts_with("- ") {
                comments(index).iter().for_each(|comment| text.push_str(&format!("# {comment}\n")));
                index += 1;
            }
            text.push_str(&format!("{line}\n"));
        }
        format!("{text}---\n{}", to_yaml(&self.binding()))
    }

    fn role_kind(&self) -> &'static str {
        if self.namespace.is_some() { "Role" } else { "ClusterRole" }
    }

    fn metadata(&self) -> Value {
        match &self.namespace {
            Some(namespace) => json!({"name": self.name, "namespace": namespace}),
            None => json!({"name": self.name}),
        }
    }
}

pub fn user_subject(name: &str) -> Subject {
    Subject { api_group: Some(API_GROUP.to_owned()), kind: "User".to_owned(), name: name.to_owned(), namespace: None }
}

pub fn group_subject(name: &str) -> Subject {
    Subject { kind: "Group".to_owned(), ..user_subject(name) }
}

pub fn service_account_subject(namespace: &str, name: &str) -> Subject {
    Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
    }
}

fn api_version() -> String {
    format!("{API_GROUP}/v1")
}

/// Returns an object as YAML that kubectl reads correctly. kubectl reads YAML 1.1, where a user `on` is a boolean and a
/// user `1_000` is a number; the YAML library writes YAML 1.2, where both are strings without quotes.
fn to_yaml(object: &Value) -> String {
    let mut text = String::new();
    for line in yaml::to_string(object).lines() {
        let value = ["name: ", "namespace: ", "- "].iter().find_map(|key| line.trim_start().strip_prefix(key));
        match value.filter(|value| is_ambiguous(value)) {
            Some(value) => {
                let key = &line[..line.len() - value.len()];
                text.push_str(&format!("{key}'{}'\n", value.replace('\'', "''")));
            }
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

fn is_ambiguous(value: &str) -> bool {
    let is_boolean = ["y", "n", "yes", "no", "on", "off"].iter().any(|boolean| value.eq_ignore_ascii_case(boolean));
    is_boolean || value.starts_with(|first: char| first.is_ascii_digit() || "+-._".contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(subjects: Vec<Subject>) -> RoleGrant {
        let rule = |resource: &str| PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec![resource.to_owned()]),
            resource_names: Some(vec!["on".to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        };
        let rules = vec![rule("pods"), rule("pods/log")];
        RoleGrant { name: "etcd-backup".to_owned(), namespace: Some("no".to_owned()), rules, subjects }
    }

    fn parse(text: &str) -> Vec<Value> {
        text.split("---\n").filter_map(yaml::from_str).collect()
    }

    #[test]
    fn each_rule_has_its_comments_in_front() {
        let text = grant(Vec::new()).to_yaml_with_comments(|index| vec![format!("rule {index}"), "more".to_owned()]);
        assert!(text.contains("rules:\n# rule 0\n# more\n- apiGroups:\n"), "{text}");
        assert!(text.contains("\n# rule 1\n# more\n- apiGroups:\n"), "{text}");
        assert_eq!(text.matches('#').count(), 4, "{text}");
        assert_eq!(parse(&text), [grant(Vec::new()).role(), grant(Vec::new()).binding()]);
    }

    #[test]
    fn names_that_yaml_1_1_reads_as_something_else_are_quoted() {
        let names = ["on", "1e3", "1_000", "2026-01-31", "-x", "it's: \"x\"", "", "null", "x\ny"];
        let grant = grant(names.map(user_subject).into());
        let text = grant.to_yaml();
        for line in ["  name: 'on'", "  name: '1_000'", "  name: '2026-01-31'", "  namespace: 'no'", "  - 'on'"] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(parse(&text), [grant.role(), grant.binding()], "{text}");
    }

    #[test]
    fn a_binding_without_subjects_has_a_placeholder() {
        assert_eq!(grant(Vec::new()).binding()["subjects"], json!([user_subject("NAME-OF-THE-USER")]));
    }
}
