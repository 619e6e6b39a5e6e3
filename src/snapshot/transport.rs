//! The transports, and the order in which they are tried.

use std::fmt;

use crate::cli::TransportChoice;

/// A way to bring a snapshot home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A connection to etcd.
    Direct,
    /// A job on the member's node; the kubelet serves the file.
    Node,
    /// etcdctl in the etcd container.
    Exec,
}

impl Transport {
    /// The name, as `--transport` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Direct => "direct",
            Transport::Node => "node",
            Transport::Exec => "exec",
        }
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Transport::Direct => "a connection to etcd through the API server",
            Transport::Node => "a job on the member's node, whose kubelet serves the file",
            Transport::Exec => "etcdctl in the etcd container",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In which order.
pub(super) fn candidates(wanted: TransportChoice, opened: bool) -> Vec<Transport> {
    match wanted {
        TransportChoice::Node => vec![Transport::Node],
        TransportChoice::Direct => vec![Transport::Direct],
        TransportChoice::Exec => vec![Transport::Exec],
        TransportChoice::Auto if opened => vec![Transport::Direct, Transport::Node, Transport::Exec],
        TransportChoice::Auto => vec![Transport::Node, Transport::Exec],
    }
}
