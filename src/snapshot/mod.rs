//! Takes a snapshot of one member and brings it to this machine.
//!
//! Three transports, and [`take_snapshot`] tries them in order. [`node`]: a Job on the member's node runs etcdctl from etcd's
//! own image and writes into its pod's log directory, which the kubelet serves over HTTP and deletes with the pod.
//! [`direct`]: etcd's own snapshot call over a connection to its pod. [`exec`]: etcdctl in the etcd container, if that
//! has a shell.

mod direct;
mod error;
mod etcdctl_failure;
mod exec;
mod headroom;
mod known_bytes;
mod node;
mod permissions;
mod probe;
mod remote_resources;
mod removal;
mod request;
mod selection;
mod stall;
mod transport;
mod unique_name;
mod writer;

pub use error::TransportError;
pub use node::job::{LABEL, ended};
pub use permissions::{Permission, Scope, permissions, risk_note};
pub use probe::{NodePlan, TransportProbe};
pub use remote_resources::RemoteResources;
pub use request::{Limits, RemoteLocation, Request, Taken};
pub use transport::{Transport, TransportPreference};
pub use writer::{SnapshotWriter, VerifiedCopy};

use selection::TransportSelection;

use crate::k8s::KubeClient;
use crate::util::events::Events;

/// Takes the snapshot with the transport that `request` names, or with the first one that is allowed and possible.
///
/// # Errors
/// Why no complete snapshot arrived. If several transports were not available, each has its line.
pub async fn take_snapshot(
    client: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter,
    owned: &RemoteResources,
    events: &dyn Events,
) -> Result<Taken, TransportError> {
    let mut selection = TransportSelection::new(client, request).await?;
    for transport in selection.candidates() {
        events.status(&format!("Transport {transport}: {}, {}", transport.description(), selection.reason()));
        let taken = match transport {
            Transport::Direct => match selection.client_config() {
                Ok(config) => direct::take(client, request, config, writer, events).await,
                Err(error) => Err(error),
            },
            Transport::Node => node::take(client, request, writer, &owned.job, events).await,
            Transport::Exec => exec::take(client, request, writer, &owned.file, events).await,
        };
        match taken {
            Err(TransportError::Unavailable(error)) if writer.is_untouched() => {
                // Nothing of one transport may still exist when the next one starts.
                owned.remove(client).await?;
                selection.rule_out(transport, error);
            }
            taken => return taken,
        }
    }
    Err(TransportError::Unavailable(selection.into_error()))
}
