//! Flags of `rbac`.

use clap::Args;

use super::connection::ConnectionArgs;
use super::etcd_client::EtcdClientArgs;
use super::etcd_pod::EtcdPodArgs;
use super::options::RbacOptions;
use super::value_parser::transport;
use crate::snapshot::TransportPreference;
use crate::ui::Format;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Permissions")]
pub struct RbacArgs {
    /// Print the permissions for this transport: node, direct, exec, or auto (same as node)
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = transport(), hide_possible_values = true)]
    pub transport: TransportPreference,

    /// Print the optional rules as manifests, not as comments
    #[arg(long)]
    pub optional: bool,

    /// User to bind the roles to; may be repeated (--user is the kubeconfig user)
    #[arg(long, value_name = "NAME")]
    pub to_user: Vec<String>,

    /// Group to bind the roles to; may be repeated
    #[arg(long, value_name = "NAME", visible_alias = "group")]
    pub to_group: Vec<String>,

    /// Service account to bind the roles to; may be repeated
    #[arg(long, value_name = "NAMESPACE:NAME", visible_alias = "serviceaccount", value_parser = service_account)]
    pub to_serviceaccount: Vec<(String, String)>,
}

impl RbacArgs {
    pub(super) fn options(self, connection: &ConnectionArgs, format: Option<Format>) -> RbacOptions {
        RbacOptions {
            cluster: connection.cluster_options(&EtcdClientArgs::default(), &EtcdPodArgs::default()),
            transport: self.transport,
            optional: self.optional,
            users: self.to_user,
            groups: self.to_group,
            service_accounts: self.to_serviceaccount,
            format,
        }
    }
}

/// Parses the format of `kubectl create rolebinding --serviceaccount`.
fn service_account(word: &str) -> Result<(String, String), String> {
    match word.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE:NAME".to_owned()),
    }
}
