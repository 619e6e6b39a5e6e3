//! The readiness checks of the API server.
//!
//! An API server that has lost its etcd does not say so in its responses: requests hang, and after a restart it refuses
//! all of them, because it cannot read the RBAC rules. `/readyz` names the checks that fail, and every caller may get it (kube-apiserver
//! `--authorization-always-allow-paths`).

use http::Request;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;

use super::access::Access;
use super::client::KubeClient;

/// The most that is read of the response.
const MAX_RESPONSE: usize = 64 << 10;

impl KubeClient {
    /// Returns the readiness checks that fail; empty if the API server is ready or does not report them.
    pub async fn failed_checks(&self) -> Vec<String> {
        let access = Access::cluster_scoped("get", "nonResourceURL", "/readyz");
        let request = async {
            let request = Request::get("/readyz").body(Body::empty()).map_err(kube::Error::HttpError)?;
            let response = self.client().send(request).await?;
            let is_ready = response.status().is_success();
            let body =
                Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(kube::Error::Service)?;
            kube::Result::Ok((is_ready, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        match self.call(&access, request).await {
            Ok((false, text)) => parse_failed_checks(&text),
            Ok((true, _)) | Err(_) => Vec::new(),
        }
    }
}

/// Returns the names in lines such as `[-]etcd failed: reason withheld` (k8s.io/apiserver `pkg/server/healthz/healthz.go`).
fn parse_failed_checks(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("[-]")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_checks_are_named() {
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n";
        assert_eq!(parse_failed_checks(text), ["etcd", "poststarthook/rbac/bootstrap-roles"]);
        assert!(parse_failed_checks("ok").is_empty());
    }
}
