//! Whether the API server itself is well.
//!
//! One whose etcd is gone does not say so where it is asked for something: it lets requests hang, and after a restart
//! it refuses everybody everything, since it cannot read the roles. At `/readyz`, which every caller may get
//! (kube-apiserver `--authorization-always-allow-paths`), it tells.

use http::Request;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;

use super::{Access, KubeClient};

const MOST: usize = 64 << 10;

impl KubeClient {
    /// The checks of its readiness that the API server fails; empty when it is ready or does not tell.
    pub async fn failed_checks(&self) -> Vec<String> {
        let access = Access::cluster_scoped("get", "nonResourceURL", "/readyz");
        let asked = async {
            let request = Request::get("/readyz").body(Body::empty()).map_err(kube::Error::HttpError)?;
            let response = self.client().send(request).await?;
            let is_ready = response.status().is_success();
            let body = Limited::new(response.into_body(), MOST).collect().await.map_err(kube::Error::Service)?;
            kube::Result::Ok((is_ready, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        match self.call(&access, asked).await {
            Ok((false, text)) => failed(&text),
            Ok((true, _)) | Err(_) => Vec::new(),
        }
    }
}

/// The names in lines such as `[-]etcd failed: reason withheld` (k8s.io/apiserver `pkg/server/healthz/healthz.go`).
fn failed(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("[-]")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_checks_are_named() {
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n";
        assert_eq!(failed(text), ["etcd", "poststarthook/rbac/bootstrap-roles"]);
        assert!(failed("ok").is_empty());
    }
}
