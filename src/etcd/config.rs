//! etcd's configuration, from flags, environment variables or a configuration file.
//!
//! Source of names and precedence: etcd `server/embed/config.go` and `server/etcdmain/config.go`. With `--config-file`,
//! etcd ignores all other flags and variables.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use serde_json::Value;

/// Settings by the name of their flag without dashes, such as `listen-client-urls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdConfig(BTreeMap<String, String>);

impl EtcdConfig {
    /// Reads the container's command, arguments and environment.
    pub fn from_container(container: &Container) -> Self {
        let mut settings = BTreeMap::new();
        for variable in container.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.name.strip_prefix("ETCD_"), &variable.value) {
                settings.insert(name.to_ascii_lowercase().replace('_', "-"), value.clone());
            }
        }
        let words = container.command.iter().flatten().chain(container.args.iter().flatten());
        settings.extend(parse_flags(words.flat_map(|word| split_script(word))));
        settings.retain(|_, value| !value.contains('$'));
        EtcdConfig(settings)
    }

    /// Reads a configuration file; `None` if the text is not a YAML map.
    pub fn from_file(text: &str) -> Option<Self> {
        let file: Value = crate::util::yaml::from_str(text)?;
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in file.as_object()? {
            if let Some(text) = scalar_to_text(value) {
                settings.insert(name.clone(), text);
            }
        }
        let sections = [("client-transport-security", ""), ("peer-transport-security", "peer-")];
        for (section, prefix) in sections {
            for (name, value) in file[section].as_object().into_iter().flatten() {
                if let Some(text) = scalar_to_text(value) {
                    settings.insert(format!("{prefix}{name}"), text);
                }
            }
        }
        Some(EtcdConfig(settings))
    }

    /// Returns a setting, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the URLs of a comma-separated setting.
    pub fn urls(&self, name: &str) -> Vec<&str> {
        self.get(name)
            .map(|list| list.split(',').map(str::trim).filter(|url| !url.is_empty()).collect())
            .unwrap_or_default()
    }
}

fn scalar_to_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Splits a shell script, as in `/bin/sh -c "exec etcd --name=…"`, into words. Another word stays as it is.
fn split_script(word: &str) -> Vec<String> {
    if word.contains(char::is_whitespace) {
        word.split_whitespace().map(|word| word.trim_matches(['"', '\'', '\\']).replace("=\"", "=")).collect()
    } else {
        vec![word.to_owned()]
    }
}

/// Parses `--name=value`, `-name value` and a bare `--name`. Go's flag package accepts one dash or two.
fn parse_flags(arguments: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut without_value: Option<String> = None;
    for word in arguments {
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|name| !name.is_empty());
        match (name, without_value.take()) {
            (Some(name), boolean) => {
                if let Some(boolean) = boolean {
                    found.insert(boolean, "true".to_owned());
                }
                match name.split_once('=') {
                    Some((name, value)) => {
                        found.insert(name.to_owned(), value.to_owned());
                    }
                    None => without_value = Some(name.to_owned()),
                }
            }
            (None, Some(name)) => {
                found.insert(name, word);
            }
            (None, None) => {}
        }
    }
    if let Some(name) = without_value {
        found.insert(name, "true".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::EnvVar;

    fn container(command: &[&str], env: &[(&str, &str)]) -> Container {
        Container {
            command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            env: Some(
                env.iter()
                    .map(|(name, value)| EnvVar {
                        name: (*name).to_owned(),
                        value: Some((*value).to_owned()),
                        ..EnvVar::default()
                    })
                    .collect(),
            ),
            ..Container::default()
        }
    }

    #[test]
    fn flags_come_with_one_dash_or_two_and_with_equals_or_a_space() {
        let settings = EtcdConfig::from_container(&container(
            &["etcd", "--cert-file=/a", "-key-file", "/b", "--client-cert-auth", "--name", "cp1"],
            &[],
        ));
        assert_eq!(settings.get("cert-file"), Some("/a"));
        assert_eq!(settings.get("key-file"), Some("/b"));
        assert_eq!(settings.get("client-cert-auth"), Some("true"));
        assert_eq!(settings.get("name"), Some("cp1"));
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let settings = EtcdConfig::from_container(&container(
            &["etcd", "--name=flag"],
            &[("ETCD_NAME", "variable"), ("ETCD_CERT_FILE", "/c")],
        ));
        assert_eq!(settings.get("name"), Some("flag"));
        assert_eq!(settings.get("cert-file"), Some("/c"));
    }

    #[test]
    fn a_shell_script_gives_its_flags_but_no_variables() {
        let script = "exec etcd \\\n  --cert-file=\"/x/server.crt\" --name=${NODE}";
        let settings = EtcdConfig::from_container(&container(&["/bin/sh", "-c", script], &[]));
        assert_eq!(settings.get("cert-file"), Some("/x/server.crt"));
        assert_eq!(settings.get("name"), None);
    }

    #[test]
    fn a_configuration_file_is_nested() {
        let text = "name: a\nlisten-client-urls: https://127.0.0.1:2379,https://10.0.0.1:2379\nclient-transport-security:\n  cert-file: /s.crt\n  client-cert-auth: true\npeer-transport-security:\n  cert-file: /p.crt\n";
        let settings = EtcdConfig::from_file(text).expect("it is a map");
        assert_eq!(settings.get("cert-file"), Some("/s.crt"));
        assert_eq!(settings.get("peer-cert-file"), Some("/p.crt"));
        assert_eq!(settings.urls("listen-client-urls").len(), 2);
        assert_eq!(EtcdConfig::from_file("plain text"), None);
    }
}
