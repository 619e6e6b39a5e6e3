//! One cluster as a command works on it: the client, and what the user said of its etcd.

use crate::cli::ClusterOptions;
use crate::error::{Error, Result};
use crate::etcd::credentials::auth_user::{AuthUser, Password};
use crate::etcd::{MemberSet, Options};
use crate::k8s::KubeClient;
use crate::ui::{Ui, prompt_password};
use crate::util::events::Events;

/// The variable from which etcdctl takes the password, too.
const PASSWORD: &str = "ETCDCTL_PASSWORD";

/// A cluster and its etcd.
pub(super) struct Context {
    pub client: KubeClient,
    pub etcd: Options,
}

impl Context {
    /// Prepares the connection; prompts for the password of `--etcd-user` if the environment has none.
    ///
    /// # Errors
    /// As [`KubeClient::connect`]; there is no password and no terminal to ask on.
    pub async fn connect(options: &ClusterOptions, ui: &Ui) -> Result<Self> {
        let client = KubeClient::connect(&options.connect).await?;
        let mut etcd = options.etcd.clone();
        if let Some(name) = &options.etcd_user {
            let password = Password::new(password_of(name, ui).await?);
            etcd.client.user = Some(AuthUser { name: name.clone(), password });
        }
        Ok(Context { client, etcd })
    }

    /// Finds the members, prints how many there are, and asks them for their status.
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

async fn password_of(user: &str, ui: &Ui) -> Result<String> {
    match std::env::var(PASSWORD) {
        Ok(password) if !password.is_empty() => Ok(password),
        _ if ui.is_interactive() => prompt_password(&format!("Password of etcd user {user}: ")).await,
        _ => Err(Error::usage(format!("no password for etcd user {user}"))
            .hint(format!("without a terminal, set the environment variable {PASSWORD}"))),
    }
}
