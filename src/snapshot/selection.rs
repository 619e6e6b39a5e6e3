//! Which transports to try, and the error if none of them is available.
//!
//! The next transport is tried only after a refusal or where one is not possible, and only before the first byte. A
//! copy that failed is an error: another transport would hide the reason, and a snapshot is whole only if all of it
//! came from one call.

use super::error::{TransportError, not_possible};
use super::request::Request;
use super::transport::{Transport, TransportPreference};
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::connect_error::ConnectError;
use crate::etcd::credentials::client_config::ClientConfig;
use crate::k8s::KubeClient;

/// The transports of one request, with those that turned out to be unavailable.
pub(super) struct TransportSelection<'r> {
    request: &'r Request<'r>,
    client_config: Option<ClientConfig>,
    unavailable: Vec<(Transport, Error)>,
}

impl<'r> TransportSelection<'r> {
    /// Looks for certificates for a direct connection to etcd: those of the flags, else those in the pod's Secrets.
    ///
    /// # Errors
    /// What the flags name cannot be used.
    pub(super) async fn new(client: &KubeClient, request: &'r Request<'r>) -> Result<Self> {
        let mut selection = TransportSelection { request, client_config: None, unavailable: Vec::new() };
        let is_forced = request.transport == TransportPreference::Only(Transport::Direct);
        if request.transport != TransportPreference::Auto && !is_forced {
            return Ok(selection);
        }
        let endpoint = request.endpoint.as_deref();
        if is_forced || request.etcd.are_given() {
            match ClientConfig::from_flags(client, request.member, request.etcd, endpoint).await {
                Ok(Some(given)) => {
                    selection.client_config = Some(given);
                    return Ok(selection);
                }
                Ok(None) => {}
                // A Secret that may not be read.
                Err(ConnectError::Unavailable(error)) if !is_forced => {
                    selection.rule_out(Transport::Direct, error);
                    return Ok(selection);
                }
                Err(error) => return Err(error.into()),
            }
        }
        selection.client_config =
            ClientConfig::from_pod_secrets(client, request.member, &request.credentials, endpoint).await;
        if selection.client_config.is_none() && is_forced {
            return Err(Error::usage("the transport direct needs certificates that etcd accepts")
                .hint("give --etcd-cacert, --etcd-cert and --etcd-key, or --etcd-cert-secret"));
        }
        Ok(selection)
    }

    /// Returns the transports to try, in this order.
    pub(super) fn candidates(&self) -> Vec<Transport> {
        self.request.transport.candidates(self.client_config.is_some())
    }

    /// Returns what opens etcd for the transport `direct`.
    pub(super) fn client_config(&self) -> Result<&ClientConfig, TransportError> {
        self.client_config.as_ref().ok_or_else(|| not_possible("there are no certificates that etcd accepts"))
    }

    /// Returns why the next transport is tried, for the status line.
    pub(super) fn reason(&self) -> String {
        if let Some((transport, error)) = self.unavailable.last() {
            return format!("because {transport} is not available: {}", error.message());
        }
        match (&self.client_config, self.request.transport) {
            (_, TransportPreference::Only(Transport::Node | Transport::Exec)) => "as requested".to_owned(),
            (Some(config), _) => config.reason(),
            (None, _) => "because there are no certificates for a connection to etcd".to_owned(),
        }
    }

    /// Notes that `transport` is not available.
    pub(super) fn rule_out(&mut self, transport: Transport, error: Error) {
        self.unavailable.push((transport, error));
    }

    /// Returns the error if no transport is left. If only one was tried, that is its own error. Otherwise each has a
    /// line.
    pub(super) fn into_error(mut self) -> Error {
        if self.unavailable.len() == 1
            && let Some((_, error)) = self.unavailable.pop()
        {
            return error;
        }
        let refused = self.unavailable.iter().any(|(_, error)| error.kind() == ErrorKind::NotAllowed);
        let kind = if refused { ErrorKind::NotAllowed } else { ErrorKind::Failed };
        let pod = self.request.member.pod_path();
        let mut all = Error::new(kind, format!("cannot take a snapshot of pod {pod}: no transport is available"));
        if !self.unavailable.iter().any(|(transport, _)| *transport == Transport::Direct) {
            all = all.detail("direct: not tried, it needs certificates that etcd accepts (--etcd-cert and others)");
        }
        let mut manifest = None;
        for (transport, error) in self.unavailable {
            all = all.detail(format!("{transport}: {}", error.message()));
            for hint in error.hints() {
                if !all.hints().contains(hint) {
                    all = all.hint(hint);
                }
            }
            manifest = manifest.or_else(|| error.grant_manifest().map(str::to_owned));
        }
        match manifest {
            Some(yaml) => all.manifest(yaml),
            None => all,
        }
    }
}
