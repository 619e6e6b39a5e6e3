//! Failed connections and calls to etcd, explained.

use tonic::{Code, Status as GrpcStatus};

use super::traced_stream::{DisconnectCause, DisconnectTrace};
use crate::error::{Error, ErrorKind};
use crate::etcd::connect_error::ConnectError;

/// The content type of a TLS record with an alert.
const TLS_ALERT: u8 = 0x15;

/// Creates the error for certificates or a user that etcd does not accept.
pub(super) fn refused_error(message: impl Into<String>) -> Error {
    // No other transport would help, because it needs other credentials, too.
    Error::new(ErrorKind::NotAllowed, message)
}

pub(super) fn timeout_error(pod: &str, limit: std::time::Duration) -> Error {
    Error::failed(format!("etcd in pod {pod} does not answer within {}s", limit.as_secs_f32()))
}

/// Returns `message`, or a placeholder for an empty one.
pub(super) fn or_no_reason(message: &str) -> &str {
    if message.is_empty() { "it gave no reason" } else { message }
}

/// Explains a TLS handshake that failed for another reason than etcd's certificate.
pub(super) fn explain_handshake(error: &std::io::Error, trace: &DisconnectTrace, pod: &str, port: u16) -> ConnectError {
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_not_tls =
        matches!(tls_error, Some(rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }));
    let cause = match tls_error {
        Some(rustls::Error::AlertReceived(alert)) => DisconnectCause::Alert(*alert),
        _ => trace.cause().unwrap_or_else(|| DisconnectCause::from_error(error)),
    };
    match cause {
        DisconnectCause::Closed(_) | DisconnectCause::Broken(_) if is_not_tls || trace.first_byte().is_none() => {
            Error::failed(format!("the server on port {port} of pod {pod} does not speak TLS: {error}"))
                .hint("if etcd serves plain http, give its URL with --pod-endpoint http://127.0.0.1:PORT")
                .into()
        }
        cause => explain_disconnect(&cause, pod, &error.to_string()),
    }
}

/// Explains a connection that broke; `message` is for a cause without a text.
pub(super) fn explain_disconnect(cause: &DisconnectCause, pod: &str, message: &str) -> ConnectError {
    use rustls::AlertDescription as Alert;
    match cause {
        DisconnectCause::Alert(
            alert @ (Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateRequired
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::HandshakeFailure),
        ) => {
            let alert = format_alert(*alert);
            refused_error(format!("etcd in pod {pod} does not accept the client certificate (TLS alert: {alert})"))
                .hint("give one that etcd's CA issued for clients: --etcd-cert and --etcd-key; kubeadm has /etc/kubernetes/pki/etcd/healthcheck-client.crt")
                .into()
        }
        DisconnectCause::Alert(alert) => {
            let alert = format_alert(*alert);
            Error::failed(format!("etcd in pod {pod} closed the TLS connection (TLS alert: {alert})")).into()
        }
        DisconnectCause::NoListener(cause) => ConnectError::Unavailable(
            Error::failed(format!("cannot reach the port of etcd from inside pod {pod}: {cause}"))
                .hint("name the URL where etcd listens on loopback with --pod-endpoint"),
        ),
        DisconnectCause::Closed(cause) | DisconnectCause::Broken(cause) => {
            let cause = if cause.is_empty() { message } else { cause };
            Error::failed(format!("the connection to etcd in pod {pod} broke: {cause}")).into()
        }
    }
}

/// Explains a failed call by what broke the connection, or by etcd's status.
pub(super) fn explain_status(status: &GrpcStatus, trace: &DisconnectTrace, pod: &str, with_tls: bool) -> Error {
    if let Some(cause) = trace.cause() {
        if let DisconnectCause::Closed(message) | DisconnectCause::Broken(message) = &cause
            && !with_tls
            && trace.first_byte().is_none()
        {
            return https_error(pod, message);
        }
        return explain_disconnect(&cause, pod, status.message()).into();
    }
    if !with_tls && trace.first_byte() == Some(TLS_ALERT) {
        return https_error(pod, "it sent a TLS alert");
    }
    let message = status.message();
    match status.code() {
        _ if message.contains("user name is empty") => refused_error(format!("etcd has authentication on: {message}"))
            .hint("name a user with the role root with --etcd-user, or give the certificate of one with --etcd-cert"),
        Code::PermissionDenied | Code::Unauthenticated => refused_error(format!("etcd refuses the request: {message}"))
            .hint("name a user with the role root with --etcd-user"),
        code => Error::failed(format!("the request to etcd in pod {pod} failed: {} ({code})", or_no_reason(message))),
    }
}

fn https_error(pod: &str, cause: &str) -> Error {
    Error::failed(format!("etcd in pod {pod} does not answer to http, it may serve https: {cause}"))
        .hint("give its URL with --pod-endpoint https://127.0.0.1:PORT, and its certificates with --etcd-cacert, --etcd-cert and --etcd-key")
}

/// Formats `BadCertificate` as "bad certificate" and `UnknownCA` as "unknown CA".
fn format_alert(alert: rustls::AlertDescription) -> String {
    let name = alert.as_str().unwrap_or("unknown alert");
    let mut words = String::new();
    let mut letters = name.chars().peekable();
    let mut last_is_lower = false;
    while let Some(letter) = letters.next() {
        let begins_word = letter.is_ascii_uppercase() && letters.peek().is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && last_is_lower {
            words.push(' ');
        }
        words.push(if begins_word { letter.to_ascii_lowercase() } else { letter });
        last_is_lower = letter.is_ascii_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_words() {
        assert_eq!(format_alert(rustls::AlertDescription::BadCertificate), "bad certificate");
        assert_eq!(format_alert(rustls::AlertDescription::UnknownCA), "unknown CA");
    }

    #[test]
    fn only_a_port_without_a_listener_leaves_other_ways_open() {
        let explain = |cause| explain_disconnect(&cause, "kube-system/etcd-cp1", "");
        let no_listener = explain(DisconnectCause::NoListener("connection refused".to_owned()));
        assert!(matches!(no_listener, ConnectError::Unavailable(_)));
        assert!(matches!(explain(DisconnectCause::Broken("reset".to_owned())), ConnectError::Failed(_)));
    }
}
