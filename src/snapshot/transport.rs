//! The transports, and the order in which they are tried.

use std::fmt;

/// A way to bring a snapshot to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A connection to etcd.
    Direct,
    /// A Job on the member's node; the kubelet serves the file.
    Node,
    /// etcdctl in the etcd container.
    Exec,
}

impl Transport {
    /// Returns the name, as `--transport` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Direct => "direct",
            Transport::Node => "node",
            Transport::Exec => "exec",
        }
    }

    /// Returns what it does, for the status line.
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

/// The value of `--transport`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransportPreference {
    /// The first transport that is allowed and possible.
    #[default]
    Auto,
    /// This one and no other.
    Only(Transport),
}

impl TransportPreference {
    /// Every value of `--transport`.
    pub const NAMES: [&str; 4] = ["auto", "node", "direct", "exec"];

    /// Parses a value of `--transport`.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Transport::Direct, Transport::Node, Transport::Exec];
        match name {
            "auto" => Some(TransportPreference::Auto),
            name => all.into_iter().find(|transport| transport.name() == name).map(TransportPreference::Only),
        }
    }

    /// Returns the transports to try, in this order. Without certificates for etcd (`has_client_config`), `direct` is
    /// left out unless it was asked for.
    pub(super) fn candidates(self, has_client_config: bool) -> Vec<Transport> {
        match self {
            TransportPreference::Only(transport) => vec![transport],
            TransportPreference::Auto if has_client_config => {
                vec![Transport::Direct, Transport::Node, Transport::Exec]
            }
            TransportPreference::Auto => vec![Transport::Node, Transport::Exec],
        }
    }
}
