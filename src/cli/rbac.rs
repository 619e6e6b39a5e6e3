//! The flags of `rbac`.

use clap::{Args, ValueEnum};

/// For which way in, and for whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rights")]
pub struct RbacArgs {
    /// The transport that is to be allowed
    #[arg(long, value_enum, default_value_t = RbacTransport::Auto)]
    pub transport: RbacTransport,

    /// Print the optional rules as rules, not as comments
    #[arg(long)]
    pub optional: bool,

    /// User to bind the roles to; may be repeated (--user is the kubeconfig's)
    #[arg(long, value_name = "NAME")]
    pub to_user: Vec<String>,

    /// Group to bind the roles to; may be repeated
    #[arg(long, value_name = "NAME", visible_alias = "group")]
    pub to_group: Vec<String>,

    /// Service account to bind the roles to; may be repeated
    #[arg(long, value_name = "NAMESPACE:NAME", visible_alias = "serviceaccount", value_parser = service_account)]
    pub to_serviceaccount: Vec<(String, String)>,
}

/// The transports as `rbac` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RbacTransport {
    /// What a backup needs where nothing else is said: those of node
    Auto,
    /// A job on the node; the kubelet serves the file
    Node,
    /// A port-forward to etcd, with certificates of your own
    Direct,
    /// Commands in the etcd container
    Exec,
}

/// As `kubectl create rolebinding` takes it.
fn service_account(word: &str) -> Result<(String, String), String> {
    match word.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE:NAME".to_owned()),
    }
}
