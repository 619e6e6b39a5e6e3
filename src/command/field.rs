//! The members of the cluster as a run sees them, and the choice of the one to back up.

use crate::cli::Cli;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::etcd::credentials::{self, Credentials};
use crate::etcd::{Member, MemberStatus, discovery, named, recommended, status};
use crate::snapshot::Request;
use crate::ui::{Row, Ui, decimal_bytes, pick};

/// The members, how they fare, and the certificates that open them.
pub(super) struct Field {
    pub(super) members: Vec<Member>,
    pub(super) statuses: Vec<Option<MemberStatus>>,
    candidates: Vec<Vec<Credentials>>,
    worked: Option<&'static str>,
}

impl Field {
    pub(super) async fn survey(cli: &Cli, cluster: &Cluster, ui: &Ui) -> Result<Self> {
        let members =
            discovery::members(cluster, cli.connection.namespace.as_deref(), cli.connection.selector.as_deref())
                .await?;
        let mut candidates = Vec::new();
        for member in &members {
            let api_servers = discovery::api_servers(cluster, &member.node).await;
            candidates.push(credentials::candidates(member, &api_servers, &cli.backup));
        }
        let plural = if members.len() == 1 { "" } else { "s" };
        ui.say(&format!(
            "Cluster {} ({}), {} etcd member{plural} in {}",
            cluster.name(),
            cluster.server(),
            members.len(),
            members[0].namespace
        ));
        let found = status::gather(cluster, &members, &candidates, cli.backup.pod_endpoint.as_deref()).await;
        found.warnings.iter().for_each(|warning| ui.warn(warning));
        Ok(Field { members, statuses: found.of, candidates, worked: found.worked })
    }

    /// The member that is named, picked or recommended.
    pub(super) async fn choose(&self, cli: &Cli, cluster: &Cluster, ui: &Ui) -> Result<usize> {
        let recommended = recommended(&self.members, &self.statuses);
        if let Some(name) = &cli.backup.member {
            let chosen = named(&self.members, name)?;
            if let Some(status) = &self.statuses[chosen]
                && (status.learner || !status.alarms.is_empty())
            {
                ui.warn(&format!("member {} {}", self.members[chosen].name, trouble(status)));
            }
            return Ok(chosen);
        }
        if self.members.len() > 1 && ui.is_interactive() {
            let rows: Vec<Row> =
                (0..self.members.len()).map(|index| self.row(index, recommended == Some(index))).collect();
            return pick("Which etcd member should be backed up?", &rows, recommended.unwrap_or_default()).await;
        }
        let Some(chosen) = recommended else {
            let troubles: Vec<String> = self
                .members
                .iter()
                .zip(&self.statuses)
                .map(|(member, status)| match status {
                    Some(status) => format!("{} {}", member.pod_name, trouble(status)),
                    None => format!("{} does not answer", member.pod_name),
                })
                .collect();
            return Err(Error::failed(format!(
                "no member of cluster {} can be recommended: {}",
                cluster.name(),
                troubles.join(", ")
            ))
            .hint("name the one to take all the same with --member"));
        };
        if self.members.len() > 1 {
            ui.say(&format!("Taking the recommended member: {}", self.row(chosen, false).cells.join("  ")));
        }
        Ok(chosen)
    }

    fn row(&self, index: usize, recommended: bool) -> Row {
        let member = &self.members[index];
        let mut cells = vec![member.pod_name.clone(), member.node.clone()];
        match &self.statuses[index] {
            Some(status) => {
                cells.push(
                    if status.leader {
                        "leader"
                    } else if status.learner {
                        "learner"
                    } else {
                        "follower"
                    }
                    .to_owned(),
                );
                cells.push(match status {
                    status if !status.alarms.is_empty() => status.alarms.join(","),
                    status if !status.has_leader => "no leader".to_owned(),
                    _ => "healthy".to_owned(),
                });
                cells.push(status.version.clone());
                cells.push(decimal_bytes(status.db_size));
                cells.push(format!("revision {}", status.revision));
            }
            None => cells.push(if member.is_ready() { "status unknown" } else { "not ready" }.to_owned()),
        }
        Row { cells, recommended }
    }

    pub(super) fn request<'r>(&'r self, cli: &'r Cli, chosen: usize) -> Request<'r> {
        let mut credentials = self.candidates[chosen].clone();
        // What opened etcd for the status goes first; the sort is stable, so the others keep their order.
        credentials.sort_by_key(|candidate| !(candidate.in_member && Some(candidate.origin) == self.worked));
        Request {
            member: &self.members[chosen],
            transport: cli.backup.transport,
            etcd: &cli.backup.etcd,
            first_works: self.worked.is_some()
                && credentials.first().is_some_and(|first| Some(first.origin) == self.worked),
            credentials,
            db_size: self.statuses[chosen].as_ref().map(|status| status.db_size),
            image: cli.backup.image.clone(),
            endpoint: cli.backup.pod_endpoint.clone(),
            deadline: cli.backup.deadline,
            lease: cli.backup.lease,
            stall: cli.backup.stall_timeout,
            start_limit: cli.backup.pod_running_timeout,
        }
    }
}

fn trouble(status: &MemberStatus) -> String {
    if status.learner {
        "is a learner, which may lag behind".to_owned()
    } else if status.alarms.is_empty() {
        "has no leader".to_owned()
    } else {
        format!("has the alarm {}", status.alarms.join(" and "))
    }
}
