//! Taking a snapshot of one member and bringing it home.
//!
//! Three transports, one file each, and the choice between them: [`take`] is the table of contents. `node` lets a job
//! on the member's node run etcdctl from etcd's own image, which writes into its pod's log directory, the one place
//! that the kubelet serves over HTTP and removes by itself. `direct` asks etcd itself over a connection to its pod.
//! `exec` runs etcdctl in the etcd container, where that holds a shell.

mod choice;
mod direct;
mod etcdctl_failure;
mod exec;
mod node;
mod permissions;
mod probe;
mod remote_resources;
mod request;
mod transport;
mod writer;

pub use choice::take;
pub use node::job::LABEL;
pub use node::job_handle::ended;
pub use permissions::{Permission, Scope, permissions, risk_note};
pub use probe::{NodePlan, TransportProbe};
pub use remote_resources::RemoteResources;
pub use request::{Limits, NotTaken, Place, Request, Taken};
pub use transport::{Transport, TransportPreference};
pub use writer::{Checksum, SnapshotWriter};
