//! What opens etcd: certificates as paths in a pod, and keys in memory for a connection from here.

pub mod auth_user;
pub mod client_config;
pub mod pod_paths;
pub mod tls_material;
