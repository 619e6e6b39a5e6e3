//! Failed calls to the API server, explained.
//!
//! The client library's errors print their causes several times over, and some carry the output of a credential plugin.
//! Each is taken apart here: what the server said, or why it could not be reached, and what to do about it.

use kube::client::AuthError;

use super::access::Access;
use crate::error::{Error, ErrorKind};
use crate::util::root_cause::{causes, root_cause};

/// A call to the API server that failed, with the status if the server answered.
#[derive(Debug)]
pub struct ApiError {
    /// HTTP status of the response; `None` without one.
    status: Option<u16>,
    error: Error,
    /// No WebSocket could be opened.
    no_websocket: bool,
}

impl ApiError {
    pub(super) fn new(status: Option<u16>, error: Error) -> Self {
        ApiError { status, error, no_websocket: false }
    }

    /// Creates the error of a request without a response.
    pub fn timeout(error: Error) -> Self {
        ApiError::new(None, error)
    }

    /// Translates the client library's error. `access` is the permission that the call needs.
    pub(super) fn from_kube(error: kube::Error, access: Option<&Access>, server: &str) -> Self {
        match error {
            kube::Error::Api(status) => ApiError::from_status(status.code, &status.message, access, server),
            kube::Error::Auth(error) => ApiError::new(None, credentials_error(&error)),
            // The position is shown and not the text, which may be a Secret.
            kube::Error::SerdeError(error) => {
                let position = format!("line {} column {}", error.line(), error.column());
                let message =
                    format!("cannot read the response of the API server {server}: unexpected JSON ({position})");
                let hint = "check with 'kubectl version' that --server is a Kubernetes API server";
                ApiError::new(None, Error::failed(message).hint(hint))
            }
            error => ApiError::new(None, connection_error(&error, server)),
        }
    }

    /// Explains a status that the API server, or the kubelet behind it, sent.
    pub(super) fn from_status(code: u16, message: &str, access: Option<&Access>, server: &str) -> Self {
        let reason = match message.trim() {
            "" => "it gave no reason",
            reason => reason,
        };
        let error = match code {
            // Another transport would be refused as well.
            401 => {
                Error::new(ErrorKind::NotAllowed, format!("the API server {server} refused the credentials: {reason}"))
                    .hint(
                        "log in again, or check the user of this context ('kubectl config view --minify') and --token",
                    )
            }
            403 => forbidden_error(reason, access),
            404 => Error::failed(format!("the API server {server} answered: {reason}")),
            _ => {
                let request = access.map(|access| format!(" to '{access}'")).unwrap_or_default();
                Error::failed(format!("the API server {server} answered {code}{request}: {reason}"))
            }
        };
        ApiError::new(Some(code), error)
    }

    /// Explains why an upgrade to a WebSocket failed: a refusal, or a proxy without support for WebSockets.
    pub(super) fn from_upgrade(error: kube::Error, access: &Access, server: &str) -> Self {
        let no_websocket = |status, cause: &str| {
            let error = websocket_error(server, cause);
            ApiError { status, error, no_websocket: true }
        };
        match &error {
            kube::Error::UpgradeConnection(cause) => no_websocket(None, &cause.to_string()),
            // What a proxy without support for WebSockets makes of the request.
            kube::Error::Api(status)
                if matches!(status.code, 400 | 405 | 426 | 501) && status.reason != "BadRequest" =>
            {
                no_websocket(Some(status.code), &format!("it answers {}", status.code))
            }
            _ => ApiError::from_kube(error, Some(access), server),
        }
    }

    /// Reports whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// Reports whether RBAC or an admission plugin refused.
    pub fn is_forbidden(&self) -> bool {
        self.status == Some(403)
    }

    /// Reports whether the request is refused, or a proxy blocks WebSockets. Other requests may be possible.
    pub fn is_unavailable(&self) -> bool {
        self.is_forbidden() || self.no_websocket
    }

    /// Reports whether the endpoint is switched off; the kubelet then answers 405.
    pub fn is_disabled(&self) -> bool {
        self.status == Some(405)
    }

    /// Reports whether an object of this name exists already, or a precondition does not hold.
    pub fn is_conflict(&self) -> bool {
        self.status == Some(409)
    }

    /// Reports whether a retry may help: the server was not reached, is overloaded or restarts.
    pub fn is_transient(&self) -> bool {
        match self.status {
            None => self.error.kind() == ErrorKind::Failed,
            Some(status) => status == 429 || status >= 500,
        }
    }

    /// The same for a request that was allowed before: an API server that starts refuses everything until it has read
    /// the RBAC rules, and one without its etcd knows no token.
    pub fn is_transient_once_allowed(&self) -> bool {
        self.is_transient() || matches!(self.status, Some(401 | 403))
    }

    /// Reports whether the server may have carried out the request, or may still do so.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self.status, None | Some(504))
    }

    /// Returns the error as users see it.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl From<ApiError> for Error {
    fn from(failure: ApiError) -> Self {
        failure.error
    }
}

fn websocket_error(server: &str, cause: &str) -> Error {
    Error::failed(format!("cannot open a WebSocket through the API server {server}: {cause}"))
        .hint("connect to the API server directly with --server, because a proxy in front of it blocks WebSockets")
}

fn forbidden_error(reason: &str, access: Option<&Access>) -> Error {
    let Some(access) = access else {
        return Error::not_allowed(format!("the API server refused the request: {reason}"));
    };
    // The verb that an upgrade to a stream needs depends on the cluster's version.
    let access = &access.clone().with_verb(refused_verb(reason));
    let error = Error::not_allowed(format!("not allowed to {access}: {reason}"));
    // Only RBAC writes this, and only its refusal goes away with a rule; that of an admission plugin does not.
    if reason.contains("cannot ") {
        error
            .hint("ask a cluster administrator to grant it: apply this manifest with 'kubectl apply -f -'")
            .manifest(access.manifest(refused_user(reason)))
    } else {
        error
    }
}

/// Returns the verb in RBAC's refusal: `… User "ann" cannot create resource "pods/exec" …`.
fn refused_verb(reason: &str) -> Option<&str> {
    reason.split_once("\" cannot ")?.1.split_once(" resource")?.0.split(' ').next()
}

/// Returns the user in RBAC's refusal: `… is forbidden: User "ann" cannot create resource …`.
fn refused_user(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    (!user.is_empty()).then_some(user)
}

/// Explains why a credential plugin or token file failed. The plugin's output is left out, because it may have a token;
/// its messages are on standard error already.
fn credentials_error(error: &AuthError) -> Error {
    let hint = "run 'kubectl get nodes' with the same context, which uses the same plugin";
    match error {
        // The error has the plugin's environment, which may have a token, too.
        AuthError::AuthExecRun { out, .. } => {
            Error::failed(format!("the credential plugin of the kubeconfig failed ({})", out.status)).hint(hint)
        }
        AuthError::AuthExecStart(error) => {
            Error::failed(format!("cannot start the credential plugin of the kubeconfig: {error}")).hint(hint)
        }
        AuthError::ReadTokenFile(error, path) => {
            Error::failed(format!("cannot read the token file {}: {error}", path.display()))
        }
        _ => Error::failed("cannot use the credentials of this context").hint(hint),
    }
}

/// Explains a request without a response.
fn connection_error(error: &kube::Error, server: &str) -> Error {
    // A token that expires during a run is renewed: then the request fails, and not the creation of the client.
    if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>()) {
        return credentials_error(error);
    }
    if let Some(reason) = causes(error).filter_map(|cause| cause.downcast_ref::<rustls::Error>()).last() {
        return match reason {
            rustls::Error::InvalidCertificate(_) => Error::failed(format!(
                "cannot trust the certificate of the API server {server}: {reason}"
            ))
            .hint("check certificate-authority of the cluster in the kubeconfig, or pass --certificate-authority"),
            _ => Error::failed(format!("cannot open a TLS connection to the API server {server}: {reason}"))
                .hint("check --server, the proxy settings and the client certificate; 'kubectl version' must answer"),
        };
    }
    Error::failed(format!("cannot reach the API server {server}: {}", root_cause(error)))
        .hint("check the network, the VPN and the proxy settings; 'kubectl version' must answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://10.0.0.1:6443";

    #[test]
    fn a_missing_permission_comes_with_the_manifest_that_grants_it() {
        let access = Access::namespaced("create", "batch", "jobs", "kube-system");
        let reason = "jobs.batch is forbidden: User \"ann\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"kube-system\"";
        let refusal = ApiError::from_status(403, reason, Some(&access), SERVER);
        assert!(refusal.is_forbidden());
        let error = Error::from(refusal);
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.grant_manifest().is_some_and(|yaml| yaml.contains("name: ann")));
    }

    #[test]
    fn the_manifest_for_a_stream_works_with_every_kubernetes_version() {
        for subresource in ["exec", "portforward"] {
            let access = Access::namespaced("get", "", "pods", "kube-system").subresource(subresource);
            for verb in ["get", "create"] {
                let reason = format!(
                    "pods \"etcd-cp1\" is forbidden: User \"ann\" cannot {verb} resource \"pods/{subresource}\" in API group \"\" in the namespace \"kube-system\""
                );
                let error = Error::from(ApiError::from_status(403, &reason, Some(&access), SERVER));
                let expected = format!("not allowed to {verb} pods/{subresource} in namespace kube-system");
                assert!(error.message().starts_with(&expected), "{}", error.message());
                let manifest = error.grant_manifest().expect("a manifest");
                assert!(manifest.contains("- get\n") && manifest.contains("- create\n"), "{manifest}");
            }
        }
    }

    #[test]
    fn an_admission_refusal_comes_without_a_manifest() {
        let access = Access::namespaced("create", "batch", "jobs", "kube-system");
        let reason = "admission webhook \"policy.example\" denied the request: no jobs here";
        let error = Error::from(ApiError::from_status(403, reason, Some(&access), SERVER));
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.grant_manifest().is_none());
        assert!(error.message().contains("no jobs here"));
    }

    #[test]
    fn refused_credentials_are_named_as_such() {
        let error = Error::from(ApiError::from_status(401, "Unauthorized", None, SERVER));
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.message().contains("refused the credentials"));
    }

    #[test]
    fn overload_and_timeouts_are_transient() {
        assert!(ApiError::from_status(503, "", None, SERVER).is_transient());
        assert!(ApiError::from_status(429, "slow down", None, SERVER).is_transient());
        assert!(!ApiError::from_status(404, "no such pod", None, SERVER).is_transient());
        assert!(ApiError::new(None, Error::failed("cut")).is_transient());
    }
}
