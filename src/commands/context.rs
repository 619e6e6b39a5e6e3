//! The cluster that a command works on.

use crate::cli::ClusterOptions;
use crate::error::{Error, Result};
use crate::etcd::credentials::auth_user::{AuthUser, Password};
use crate::etcd::{MemberSet, Options};
use crate::k8s::KubeClient;
use crate::ui::{Ui, prompt_password};
use crate::util::events::Events;

/// etcdctl reads the same variable.
const PASSWORD_VARIABLE: &str = "ETCDCTL_PASSWORD";

/// A client of the API server, and the options for its etcd.
pub(super) struct Context {
    pub client: KubeClient,
    pub etcd: Options,
}

impl Context {
    /// Prepares the connection. Prompts for the password of `--etcd-user` if the environment does not have it.
    ///
    /// # Errors
    /// As [`KubeClient::connect`]; or the password is missing and a prompt is not possible.
    pub async fn connect(options: &ClusterOptions, ui: &Ui) -> Result<Self> {
        let client = KubeClient::connect(&options.connect).await?;
        let mut etcd = options.etcd.clone();
        if let Some(name) = &options.etcd_user {
            let password = Password::new(read_password(name, ui).await?);
            etcd.client.user = Some(AuthUser { name: name.clone(), password });
        }
        Ok(Context { client, etcd })
    }

    /// Finds the members, prints their number, and asks them for their status.
    pub async fn discover_verbose(&self, ui: &Ui) -> Result<MemberSet> {
        let mut members = MemberSet::discover(&self.client, &self.etcd).await?;
        let plural = if members.members.len() == 1 { "" } else { "s" };
        ui.status(&format!(
            "Cluster {} ({}), {} etcd member{plural} in {}",
            self.client.name(),
            self.client.server(),
            members.members.len(),
            members.members[0].member.namespace
        ));
        members.probe(&self.client, &self.etcd).await?;
        members.warnings.iter().for_each(|warning| ui.warn(&warning.message));
        Ok(members)
    }

    /// Finds the members and asks them for their status, without any output.
    pub async fn discover(&self) -> Result<MemberSet> {
        let mut members = MemberSet::discover(&self.client, &self.etcd).await?;
        members.probe(&self.client, &self.etcd).await?;
        Ok(members)
    }
}

async fn read_password(user: &str, ui: &Ui) -> Result<String> {
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) if !password.is_empty() => Ok(password),
        _ if ui.is_interactive() => prompt_password(&format!("Password of etcd user {user}: ")).await,
        _ => Err(Error::usage(format!("cannot log in as etcd user {user}: there is no password")).hint(format!(
            "set the environment variable {PASSWORD_VARIABLE}, because the password cannot be prompted for here"
        ))),
    }
}
