//! Taking a snapshot of one member and bringing it home.
//!
//! The transport `node`: a job on the member's node runs etcdctl from etcd's own image and writes into its pod's log
//! directory, the one place that the kubelet serves over HTTP and removes by itself; the file is read from there while
//! it is still being written. [`node::take`] is the table of contents.

mod copy;
mod intake;
mod job;
mod lease;
pub mod node;
mod pod;
mod preflight;
mod preview;
mod rights;
mod words;

pub use intake::Intake;
pub use job::{LABEL, Limits};
pub use lease::{OwnedJob, ended};
pub use node::{Request, Taken};
pub use preview::{Preview, preview};
pub use rights::{Right, Scope, Way, caution, rights};
pub use words::{etcdctl_error, is_tls};
