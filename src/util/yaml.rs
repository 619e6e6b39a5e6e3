//! The one place that knows the YAML library, so that it can be replaced without a search.
//!
//! Kubeconfigs are read by the client library; here only etcd's configuration file is read, and documents written.

use serde::{Serialize, de::DeserializeOwned};

/// YAML of a value that JSON can hold, with a newline at the end.
pub fn to_string<T: Serialize>(value: &T) -> String {
    // Only a map with keys that are no scalars, or a failing `Serialize`, can fail; our documents have neither.
    serde_yaml::to_string(value).unwrap_or_default()
}

/// Reads a value from YAML; `None` when the text is something else.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_yaml::from_str(text).ok()
}
