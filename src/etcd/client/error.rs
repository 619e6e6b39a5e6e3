//! Failed calls to etcd in words.

use super::traced_stream::DisconnectCause;
use crate::error::{Error, ErrorKind};
use crate::k8s::ApiError;

/// Why there is no connection to etcd.
#[derive(Debug)]
pub enum ConnectError {
    /// Refused by the cluster, or not possible here: etcd may be reached in another way.
    Unavailable(Error),
    /// Any other failure.
    Failed(Error),
}

impl ConnectError {
    /// Returns the same error as unavailable if `condition` holds.
    pub(super) fn unavailable_if(self, condition: bool) -> Self {
        if condition { ConnectError::Unavailable(self.into()) } else { self }
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        ConnectError::Failed(error)
    }
}

impl From<ApiError> for ConnectError {
    fn from(error: ApiError) -> Self {
        if error.is_unavailable() {
            ConnectError::Unavailable(error.into())
        } else {
            ConnectError::Failed(error.into())
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unavailable(error) | ConnectError::Failed(error) => error,
        }
    }
}

/// The content type of a TLS record that carries an alert.
pub(super) const TLS_ALERT: u8 = 0x15;

pub(super) fn speaks_tls(place: &str, said: &str) -> Error {
    Error::failed(format!("etcd in pod {place} does not answer to http, it may serve https: {said}"))
        .hint("say so with --pod-endpoint https://127.0.0.1:PORT, and give its certificates: --etcd-cacert, --etcd-cert, --etcd-key")
}

pub(super) fn refused(what: &str) -> Error {
    // Other certificates, or another user, are needed in any case.
    Error::new(ErrorKind::NotAllowed, what)
}

pub(super) fn plain(said: &str) -> &str {
    if said.is_empty() { "it gave no reason" } else { said }
}

/// `BadCertificate` as "bad certificate", `UnknownCA` as "unknown CA".
fn in_words(alert: rustls::AlertDescription) -> String {
    let name = alert.as_str().unwrap_or("an alert that is not known");
    let mut words = String::new();
    let mut letters = name.chars().peekable();
    let mut last_is_small = false;
    while let Some(letter) = letters.next() {
        let begins = letter.is_ascii_uppercase() && letters.peek().is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && last_is_small {
            words.push(' ');
        }
        words.push(if begins { letter.to_ascii_lowercase() } else { letter });
        last_is_small = letter.is_ascii_lowercase();
    }
    words
}

pub(super) fn broken(cause: &DisconnectCause, place: &str, otherwise: &str) -> ConnectError {
    use rustls::AlertDescription as Alert;
    ConnectError::Failed(match cause {
        DisconnectCause::Alert(
            alert @ (Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateRequired
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::HandshakeFailure),
        ) => refused(&format!("etcd in pod {place} does not accept the client certificate (TLS alert: {})", in_words(*alert)))
            .hint("give one that etcd's CA issued for clients: --etcd-cert and --etcd-key; kubeadm has /etc/kubernetes/pki/etcd/healthcheck-client.crt"),
        DisconnectCause::Alert(alert) => Error::failed(format!("etcd in pod {place} ended the TLS connection (alert: {})", in_words(*alert))),
        DisconnectCause::NoListener(said) => {
            return ConnectError::Unavailable(
                Error::failed(format!("the port of etcd in pod {place} cannot be reached from inside the pod: {said}"))
                    .hint("name the URL where etcd listens on loopback with --pod-endpoint"),
            );
        }
        DisconnectCause::Ended(said) | DisconnectCause::Broke(said) => {
            let said = if said.is_empty() { otherwise } else { said };
            Error::failed(format!("the connection to etcd in pod {place} broke: {said}"))
        }
    })
}
