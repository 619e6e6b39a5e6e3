//! Taking a snapshot of one member and bringing it home.
//!
//! Three transports, one file each, and the choice between them: [`take`] is the table of contents. `node` lets a job
//! on the member's node run etcdctl from etcd's own image, which writes into its pod's log directory, the one place
//! that the kubelet serves over HTTP and removes by itself. `direct` asks etcd itself over a connection to its pod.
//! `exec` runs etcdctl in the etcd container, where that holds a shell.

mod choice;
mod container;
mod copy;
mod direct;
mod exec;
mod intake;
mod job;
mod lease;
mod leftover;
mod node;
mod pod;
mod preflight;
mod preview;
mod request;
mod rights;
mod transport;
mod words;

pub use choice::take;
pub use intake::{Intake, Proof};
pub use job::LABEL;
pub use lease::ended;
pub use leftover::Owned;
pub use preview::{Outlook, Preview};
pub use request::{NotTaken, Place, Request, Taken};
pub use rights::{Right, Scope, caution, rights};
pub use transport::Transport;
