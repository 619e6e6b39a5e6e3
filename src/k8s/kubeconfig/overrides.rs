//! Applies the flags to the cluster and the user of the kubeconfig.

use kube::config::{AuthInfo, Cluster};

use crate::k8s::options::ConnectOptions;

/// Applies the flags to the cluster, as client-go's `getCluster` does: with `--server`, the TLS name comes from the
/// flags, too, and `--insecure-skip-tls-verify` clears the authority.
pub(super) fn override_cluster(cluster: &mut Cluster, options: &ConnectOptions) {
    if let Some(server) = &options.server {
        let server = if server.contains("://") { server.clone() } else { format!("https://{server}") };
        cluster.server = Some(server);
        cluster.tls_server_name = options.tls_server_name.clone();
    }
    if options.tls_server_name.is_some() {
        cluster.tls_server_name = options.tls_server_name.clone();
    }
    if let Some(file) = &options.certificate_authority {
        cluster.certificate_authority = Some(file.display().to_string());
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    if options.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
}

/// Applies the flags to the user: a token or certificate replaces that of the kubeconfig. A token also removes the
/// plugins, which would fetch another one.
pub(super) fn override_user(user: &mut AuthInfo, options: &ConnectOptions) {
    if let Some(token) = &options.token {
        user.token = Some(token.clone().into());
        user.token_file = None;
        user.exec = None;
        user.auth_provider = None;
        user.username = None;
        user.password = None;
    }
    if let Some(file) = &options.client_certificate {
        user.client_certificate = Some(file.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(file) = &options.client_key {
        user.client_key = Some(file.display().to_string());
        user.client_key_data = None;
    }
    if let Some(name) = &options.impersonate {
        user.impersonate = Some(name.clone());
        user.impersonate_groups = (!options.impersonate_group.is_empty()).then(|| options.impersonate_group.clone());
        user.impersonate_uid = options.impersonate_uid.clone();
        user.impersonate_user_extra = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> Cluster {
        serde_json::from_value(json!({
            "server": "https://prod:6443",
            "tls-server-name": "inside",
            "certificate-authority-data": "eA==",
        }))
        .expect("a cluster")
    }

    #[test]
    fn a_server_from_the_command_line_drops_the_tls_name_of_the_file() {
        let mut cluster = cluster();
        let options = ConnectOptions { server: Some("10.0.0.1:6443".into()), ..ConnectOptions::default() };
        override_cluster(&mut cluster, &options);
        assert_eq!(cluster.server.as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(cluster.tls_server_name, None);
    }

    #[test]
    fn the_insecure_flag_clears_the_authority() {
        let mut cluster = cluster();
        override_cluster(&mut cluster, &ConnectOptions { insecure_skip_tls_verify: true, ..ConnectOptions::default() });
        assert_eq!(cluster.certificate_authority_data, None);
        assert_eq!(cluster.insecure_skip_tls_verify, Some(true));
    }

    #[test]
    fn a_token_removes_the_plugin() {
        let user = json!({"token": "from-file", "exec": {"command": "plugin"}});
        let mut user: AuthInfo = serde_json::from_value(user).expect("a user");
        override_user(&mut user, &ConnectOptions { token: Some("t".into()), ..ConnectOptions::default() });
        assert!(user.exec.is_none());
        assert!(user.token.is_some());
    }
}
