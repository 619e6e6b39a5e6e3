//! The only module that uses the YAML library, so that another one can replace it.
//!
//! It reads etcd's configuration file and the documents of backups, and writes documents. The Kubernetes client reads
//! kubeconfigs.

use serde::{Serialize, de::DeserializeOwned};

/// Formats a value that JSON can hold as YAML, with a newline at the end.
pub fn to_string<T: Serialize>(value: &T) -> String {
    // Only a map whose keys are not scalars, or a failing `Serialize`, can fail. Our documents have neither.
    serde_yaml::to_string(value).unwrap_or_default()
}

/// Parses a value from YAML; `None` if the text is not YAML or has another form.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_yaml::from_str(text).ok()
}
