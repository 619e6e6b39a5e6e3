//! Failed calls in words.
//!
//! The client library's errors print their causes several times over, and some carry a credential plugin's output.
//! Each is taken apart here: what the server said, or why it could not be reached, and what to do about it.

use std::error::Error as StdError;

use kube::client::AuthError;

use super::Access;
use crate::error::{Error, ErrorKind};

/// A call to the API server that failed, with the status when the server answered.
#[derive(Debug)]
pub struct ApiError {
    /// HTTP status of the answer; `None` when there was none.
    status: Option<u16>,
    error: Error,
    /// No WebSocket could be opened.
    no_websocket: bool,
}

impl ApiError {
    pub(super) fn new(status: Option<u16>, error: Error) -> Self {
        ApiError { status, error, no_websocket: false }
    }

    /// A request whose answer never came.
    pub fn timeout(error: Error) -> Self {
        ApiError::new(None, error)
    }

    fn no_websocket(status: Option<u16>, error: Error) -> Self {
        ApiError { status, error, no_websocket: true }
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// RBAC, or an admission plugin, refused.
    pub fn is_forbidden(&self) -> bool {
        self.status == Some(403)
    }

    /// The request is refused, or a proxy blocks WebSockets: other requests may be possible.
    pub fn is_unavailable(&self) -> bool {
        self.is_forbidden() || self.no_websocket
    }

    /// The endpoint is switched off (the kubelet answers 405 to that).
    pub fn is_disabled(&self) -> bool {
        self.status == Some(405)
    }

    /// An object of this name exists already, or a precondition does not hold.
    pub fn is_conflict(&self) -> bool {
        self.status == Some(409)
    }

    /// Worth another try: the server was not reached, is overloaded or restarts.
    pub fn is_transient(&self) -> bool {
        match self.status {
            None => self.error.kind() == ErrorKind::Failed,
            Some(status) => status == 429 || status >= 500,
        }
    }

    /// The same, of a request that was allowed before: an API server that starts refuses everybody until it has read
    /// the rules, and one that has lost its etcd knows no token.
    pub fn is_transient_once_allowed(&self) -> bool {
        self.is_transient() || matches!(self.status, Some(401 | 403))
    }

    /// Nobody knows whether the server has done, or will do, what it was asked for.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self.status, None | Some(504))
    }

    /// The sentence for a person.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl From<ApiError> for Error {
    fn from(failure: ApiError) -> Self {
        failure.error
    }
}

/// Translates the client library's error. `access` is the right that the call needs.
pub(super) fn explain(error: kube::Error, access: Option<&Access>, server: &str) -> ApiError {
    match error {
        kube::Error::Api(status) => refused(status.code, &status.message, access, server),
        kube::Error::Auth(error) => ApiError::new(None, credentials(&error)),
        // Where it stands is told, not what stands there: that may be a Secret.
        kube::Error::SerdeError(error) => {
            let place = format!("line {} column {}", error.line(), error.column());
            let what = format!("the API server {server} answered with something that makes no sense ({place})");
            let hint = "is --server a Kubernetes API server? 'kubectl version' must answer";
            ApiError::new(None, Error::failed(what).hint(hint))
        }
        error => ApiError::new(None, unreachable(&error, server)),
    }
}

/// A status that the API server sent, in words.
pub(super) fn refused(code: u16, message: &str, access: Option<&Access>, server: &str) -> ApiError {
    let said = message.trim();
    let said = if said.is_empty() { "it gave no reason" } else { said };
    let error = match code {
        // No other request will fare better.
        401 => Error::new(ErrorKind::NotAllowed, format!("the API server {server} refused the credentials: {said}"))
            .hint("log in again, or check the user of this context ('kubectl config view --minify') and --token"),
        403 => forbidden(said, access),
        404 => Error::failed(format!("the API server {server} answered: {said}")),
        _ => {
            let what = access.map(|access| format!(" to '{access}'")).unwrap_or_default();
            Error::failed(format!("the API server {server} answered {code}{what}: {said}"))
        }
    };
    ApiError::new(Some(code), error)
}

/// An upgrade to a WebSocket that failed: a refusal, or something in between that knows no WebSockets.
pub(super) fn no_websocket(error: kube::Error, access: &Access, server: &str) -> ApiError {
    let kube::Error::UpgradeConnection(cause) = &error else {
        return match &error {
            // What a proxy that knows no WebSockets makes of the request.
            kube::Error::Api(status)
                if matches!(status.code, 400 | 405 | 426 | 501) && status.reason != "BadRequest" =>
            {
                ApiError::no_websocket(
                    Some(status.code),
                    without_websockets(server, &format!("it answers {}", status.code)),
                )
            }
            _ => explain(error, Some(access), server),
        };
    };
    ApiError::no_websocket(None, without_websockets(server, &cause.to_string()))
}

fn without_websockets(server: &str, cause: &str) -> Error {
    Error::failed(format!("no WebSocket can be opened through the API server {server}: {cause}"))
        .hint("something in front of the API server lets no WebSockets through: go round it with --server")
}

fn forbidden(said: &str, access: Option<&Access>) -> Error {
    let Some(access) = access else {
        return Error::not_allowed(format!("the cluster refused: {said}"));
    };
    // The verb that an upgrade to a stream needs depends on the cluster's version.
    let access = &access.clone().with_verb(verb_in(said));
    // Only RBAC's own refusal is cured by a rule; an admission plugin's has other words.
    let error = Error::not_allowed(format!("not allowed to {access}: {said}"));
    if said.contains("cannot ") {
        error
            .hint("a cluster administrator can grant it with this manifest ('kubectl apply -f -')")
            .manifest(access.manifest(user_in(said)))
    } else {
        error
    }
}

/// The verb in RBAC's refusal: `… User "ann" cannot create resource "pods/exec" …`.
fn verb_in(said: &str) -> Option<&str> {
    said.split_once("\" cannot ")?.1.split_once(" resource")?.0.split(' ').next()
}

/// The user name in RBAC's refusal: `… is forbidden: User "ann" cannot create resource …`.
fn user_in(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    (!user.is_empty()).then_some(user)
}

/// A credential plugin or token file failed. The plugin's output may hold a token, so it is never repeated: what the
/// plugin has to say, it said on standard error already.
fn credentials(error: &AuthError) -> Error {
    let hint = "run 'kubectl get nodes' with the same context: it uses the same plugin";
    match error {
        // Its command line comes with the environment that was set for it, so that is not repeated either.
        AuthError::AuthExecRun { out, .. } => {
            Error::failed(format!("the credential plugin of the kubeconfig failed ({})", out.status)).hint(hint)
        }
        AuthError::AuthExecStart(error) => {
            Error::failed(format!("the credential plugin of the kubeconfig cannot be started: {error}")).hint(hint)
        }
        AuthError::ReadTokenFile(error, path) => {
            Error::failed(format!("cannot read the token file {}: {error}", path.display()))
        }
        _ => Error::failed("the credentials of this context cannot be used").hint(hint),
    }
}

/// No answer: the innermost cause says why, the ones around it only say that there was one.
fn unreachable(error: &kube::Error, server: &str) -> Error {
    let mut innermost: &(dyn StdError + 'static) = error;
    let mut certificate = None;
    loop {
        // A token that is renewed in the middle of a run: the request fails, and not the client.
        if let Some(refused) = innermost.downcast_ref::<AuthError>() {
            return credentials(refused);
        }
        if let Some(found) = innermost.downcast_ref::<rustls::Error>() {
            certificate = Some(found.to_string());
        }
        match cause(innermost) {
            Some(source) => innermost = source,
            None => break,
        }
    }
    if let Some(reason) = certificate {
        return Error::failed(format!("no trusted connection to the API server {server}: {reason}"))
            .hint("check certificate-authority of the cluster in the kubeconfig, or pass --certificate-authority");
    }
    Error::failed(format!("cannot reach the API server {server}: {innermost}"))
        .hint("check the network, the VPN and the proxy settings; 'kubectl version' must answer")
}

/// The next cause. An `io::Error` that wraps another error names that one's cause as its own and skips the error
/// itself, which is where rustls hides, sometimes two wrappers deep.
fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://10.0.0.1:6443";

    #[test]
    fn a_missing_rule_comes_with_the_manifest_that_grants_it() {
        let access = Access::namespaced("create", "batch", "jobs", "kube-system");
        let said = "jobs.batch is forbidden: User \"ann\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"kube-system\"";
        let failure = refused(403, said, Some(&access), SERVER);
        assert!(failure.is_forbidden());
        let error = Error::from(failure);
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.cure().is_some_and(|yaml| yaml.contains("name: ann")));
    }

    #[test]
    fn a_stream_that_needs_another_verb_than_it_did_once_is_cured_on_every_version() {
        for subresource in ["exec", "portforward"] {
            let access = Access::namespaced("get", "", "pods", "kube-system").subresource(subresource);
            for verb in ["get", "create"] {
                let said = format!(
                    "pods \"etcd-cp1\" is forbidden: User \"ann\" cannot {verb} resource \"pods/{subresource}\" in API group \"\" in the namespace \"kube-system\""
                );
                let error = Error::from(refused(403, &said, Some(&access), SERVER));
                let expected = format!("not allowed to {verb} pods/{subresource} in namespace kube-system");
                assert!(error.message().starts_with(&expected), "{}", error.message());
                let cure = error.cure().expect("a rule cures it");
                assert!(cure.contains("- get\n") && cure.contains("- create\n"), "{cure}");
            }
        }
    }

    #[test]
    fn an_admission_refusal_is_not_cured_by_a_rule() {
        let access = Access::namespaced("create", "batch", "jobs", "kube-system");
        let said = "admission webhook \"policy.example\" denied the request: no jobs here";
        let error = Error::from(refused(403, said, Some(&access), SERVER));
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.cure().is_none());
        assert!(error.message().contains("no jobs here"));
    }

    #[test]
    fn expired_credentials_are_named_as_such() {
        let error = Error::from(refused(401, "Unauthorized", None, SERVER));
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert!(error.message().contains("refused the credentials"));
    }

    #[test]
    fn overload_and_silence_are_worth_another_try() {
        assert!(refused(503, "", None, SERVER).is_transient());
        assert!(refused(429, "slow down", None, SERVER).is_transient());
        assert!(!refused(404, "no such pod", None, SERVER).is_transient());
        assert!(ApiError::new(None, Error::failed("cut")).is_transient());
    }
}
