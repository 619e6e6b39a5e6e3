//! Credentials for etcd: certificates as paths in a pod, and certificates in memory for a direct connection.

pub mod auth_user;
pub mod client_config;
mod mounts;
pub mod pod_paths;
pub(super) mod tls_material;
