//! Talks to Kubernetes: to the API server, and through it to the kubelet and to pods.
//!
//! [`KubeClient`] is one API server as one user. Each of its calls knows the permission that it needs, so that a refusal
//! can name the verb, the resource and the rule that grants it. HTTP statuses and the errors of the client library do
//! not leave this module.

mod access;
mod client;
mod error;
mod exec;
mod kubeconfig;
mod kubelet;
mod options;
mod port_forward;
mod rbac;
mod readyz;
mod resources;
mod websocket;

pub use access::Access;
pub use client::KubeClient;
pub use error::ApiError;
pub use exec::{ContainerRef, ExecEvent, ExecOutput, ExecStream};
pub use kubelet::{DiskSpace, LogReadError, NodeLogPath, RangeResponse};
pub use options::ConnectOptions;
pub use rbac::{RoleGrant, group_subject, service_account_subject, user_subject};
