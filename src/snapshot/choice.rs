//! Which transport, and which one after it.
//!
//! Moving on is for what is refused or impossible here, before the first byte. A copy that failed is told: another way
//! would hide why, and a snapshot is only whole when all of it came from one call.

use std::io::Write;

use super::remote_resources::RemoteResources;
use super::request::{NotTaken, Request, Taken};
use super::transport::{Transport, TransportPreference};
use super::{SnapshotWriter, direct, exec, node};
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::credentials::client_config::ClientConfig;
use crate::k8s::KubeClient;
use crate::util::events::Events;

/// Takes the snapshot in the way that `request` names, or in the first one that is allowed and possible.
///
/// # Errors
/// Why there is no whole snapshot. Where several ways were refused, each has its line.
pub async fn take<W: Write + Send + 'static>(
    cluster: &KubeClient,
    request: &Request<'_>,
    writer: &SnapshotWriter<W>,
    owned: &RemoteResources,
    events: &dyn Events,
) -> Result<Taken, NotTaken> {
    let (opening, mut closed) = open(cluster, request).await?;
    let mut why = match (&opening, request.transport) {
        (_, TransportPreference::Only(Transport::Node | Transport::Exec)) => "as asked for".to_owned(),
        (Some(opening), _) => opening.why(),
        (None, _) => match closed.first() {
            Some((transport, error)) => not_open(*transport, error),
            None => "since there are no certificates for a connection to etcd".to_owned(),
        },
    };
    for transport in request.transport.candidates(opening.is_some()) {
        events.status(&format!("Transport {transport}: {}, {why}", transport.description()));
        let taken = match (transport, &opening) {
            (Transport::Direct, Some(opening)) => direct::take(cluster, request, opening, writer, events).await,
            (Transport::Direct, None) => Err(Error::failed("nothing opens etcd").into()),
            (Transport::Node, _) => node::take(cluster, request, writer, &owned.job, events).await,
            (Transport::Exec, _) => exec::take(cluster, request, writer, &owned.file, events).await,
        };
        match taken {
            Err(NotTaken::Failed(error)) if error.allows_another_way() && writer.is_untouched() => {
                // Nothing of one try may outlive the beginning of the next.
                owned.remove(cluster).await?;
                why = not_open(transport, &error);
                closed.push((transport, error));
            }
            taken => return taken,
        }
    }
    Err(none_open(request, closed).into())
}

fn not_open(transport: Transport, error: &Error) -> String {
    format!("since {transport} is not open: {}", error.message())
}

pub(super) type Closed = Vec<(Transport, Error)>;

/// What opens etcd, and why nothing does. What a person gave comes first; without it, the Secrets of the pod itself.
pub(super) async fn open(cluster: &KubeClient, request: &Request<'_>) -> Result<(Option<ClientConfig>, Closed)> {
    let endpoint = request.endpoint.as_deref();
    let (member, forced) = (request.member, request.transport == TransportPreference::Only(Transport::Direct));
    match request.transport {
        TransportPreference::Only(Transport::Node | Transport::Exec) => return Ok((None, Vec::new())),
        TransportPreference::Auto if !request.etcd.are_given() => {}
        TransportPreference::Auto | TransportPreference::Only(Transport::Direct) => {
            match ClientConfig::from_flags(cluster, member, request.etcd, endpoint).await {
                Ok(Some(opening)) => return Ok((Some(opening), Vec::new())),
                Ok(None) => {}
                Err(error) if error.allows_another_way() && !forced => {
                    return Ok((None, vec![(Transport::Direct, error)]));
                }
                Err(error) => return Err(error),
            }
        }
    }
    let found = ClientConfig::from_pod_secrets(cluster, member, &request.credentials, endpoint).await;
    if found.is_none() && forced {
        return Err(Error::usage("the transport direct needs certificates that etcd accepts")
            .hint("give --etcd-cacert, --etcd-cert and --etcd-key, or --etcd-cert-secret"));
    }
    Ok((found, Vec::new()))
}

/// The only one that was tried speaks for itself; of several, each has a line.
pub(super) fn none_open(request: &Request<'_>, mut closed: Closed) -> Error {
    if closed.len() == 1
        && let Some((_, error)) = closed.pop()
    {
        return error;
    }
    let not_allowed = closed.iter().any(|(_, error)| error.kind() == ErrorKind::NotAllowed);
    let kind = if not_allowed { ErrorKind::NotAllowed } else { ErrorKind::Failed };
    let mut whole =
        Error::new(kind, format!("no transport is open for a snapshot of pod {}", request.member.pod_path()));
    if !closed.iter().any(|(transport, _)| *transport == Transport::Direct) {
        whole = whole.detail("direct: not tried, it needs certificates that etcd accepts (--etcd-cert and others)");
    }
    let mut cure = None;
    for (transport, error) in closed {
        whole = whole.detail(format!("{transport}: {}", error.message()));
        for hint in error.hints() {
            if !whole.hints().contains(hint) {
                whole = whole.hint(hint);
            }
        }
        cure = cure.or_else(|| error.cure().map(str::to_owned));
    }
    match cure {
        Some(yaml) => whole.manifest(yaml),
        None => whole,
    }
}
