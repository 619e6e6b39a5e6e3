//! The flags of `rbac`.

use clap::Args;

use super::TransportChoice;

/// For which way in, and for whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rights")]
pub struct RbacArgs {
    /// The transport that is to be allowed: node, direct, exec, or auto for what a backup takes by itself: node
    #[arg(long, value_enum, value_name = "NAME", default_value = "auto", hide_possible_values = true)]
    pub transport: TransportChoice,

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

/// As `kubectl create rolebinding` takes it.
fn service_account(word: &str) -> Result<(String, String), String> {
    match word.split_once(':') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE:NAME".to_owned()),
    }
}
