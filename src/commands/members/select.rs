//! The members of the cluster as a run sees them, and the choice of the one to back up.

use std::time::Duration;

use futures::future::join_all;

use super::row::MemberRow;
use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::etcd::credentials::pod_paths;
use crate::etcd::credentials::pod_paths::Credentials;
use crate::etcd::status::via_grpc;
use crate::etcd::{
    Expiry, Member, MemberSelector, MemberStatus, Silence, Statuses, UnmatchedMember, discovery, expiry, rank_members,
    select_member, status,
};
use crate::k8s::KubeClient;
use crate::snapshot::Request;
use crate::ui::{SelectItem, Ui, pick};

/// How long a member may take to show its certificate.
const EXPIRY_LIMIT: Duration = Duration::from_secs(10);

/// The members, how they fare, and the certificates that open them.
pub struct MemberSet {
    pub members: Vec<Member>,
    pub statuses: Vec<Option<MemberStatus>>,
    silent: Vec<Option<Silence>>,
    expiries: Vec<Expiry>,
    warnings: Vec<String>,
    pub candidates: Vec<Vec<Credentials>>,
    pub worked: Option<&'static str>,
    /// Members that have no pod.
    pub unmatched: Vec<UnmatchedMember>,
}

impl MemberSet {
    /// Finds the members, says how many there are, and asks them how they fare.
    pub async fn discover_verbose(cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<Self> {
        let field = MemberSet::find(cli, cluster).await?;
        let plural = if field.members.len() == 1 { "" } else { "s" };
        ui.status(&format!(
            "Cluster {} ({}), {} etcd member{plural} in {}",
            cluster.name(),
            cluster.server(),
            field.members.len(),
            field.members[0].namespace
        ));
        let field = field.ask(cli, cluster, ui).await?;
        field.warnings.iter().for_each(|warning| ui.warn(warning));
        Ok(field)
    }

    /// The same without a word.
    pub async fn discover(cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<Self> {
        MemberSet::find(cli, cluster).await?.ask(cli, cluster, ui).await
    }

    async fn find(cli: &Cli, cluster: &KubeClient) -> Result<Self> {
        let members =
            discovery::members(cluster, cli.connection.namespace.as_deref(), cli.connection.selector.as_deref())
                .await?;
        let mut candidates = Vec::new();
        for member in &members {
            let api_servers = discovery::api_servers(cluster, &member.node).await;
            candidates.push(pod_paths::candidates(member, &api_servers, &cli.backup.pod));
        }
        let nothing = || vec![None; members.len()];
        Ok(MemberSet {
            statuses: nothing(),
            silent: vec![None; members.len()],
            expiries: Vec::new(),
            warnings: Vec::new(),
            candidates,
            worked: None,
            unmatched: Vec::new(),
            members,
        })
    }

    async fn ask(mut self, cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<Self> {
        let mut found = self.refresh_status(cli, cluster, ui).await?;
        found.finalize(&self.members);
        self.statuses = found.of;
        self.silent = found.silent;
        self.warnings = found.warnings;
        self.worked = found.worked;
        self.unmatched = found.unmatched;
        Ok(self)
    }

    /// How the members fare at this moment. With certificates at hand etcd is asked itself, else etcdctl in the pods;
    /// each fills what the other leaves.
    pub async fn refresh_status(&self, cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<Statuses> {
        let (args, endpoint) = (&cli.backup.etcd, cli.backup.pod.pod_endpoint.as_deref());
        let mut found = Statuses::unknown(self.members.len());
        if args.are_given() {
            via_grpc::fill(cluster, &self.members, args, endpoint, ui, &mut found).await?;
        }
        if found.is_incomplete() {
            status::gather(cluster, &self.members, &self.candidates, endpoint, &mut found).await;
        }
        if found.is_incomplete() && !args.are_given() {
            via_grpc::fill(cluster, &self.members, args, endpoint, ui, &mut found).await?;
        }
        Ok(found)
    }

    /// Asks each member when its server certificate ends.
    pub async fn ask_expiries(&mut self, cli: &Cli, cluster: &KubeClient) {
        let endpoint = cli.backup.pod.pod_endpoint.as_deref();
        let asked = self.members.iter().map(|member| expiry(cluster, member, endpoint, EXPIRY_LIMIT));
        self.expiries = join_all(asked).await;
        let unknown: Vec<(&Member, &str)> = self
            .members
            .iter()
            .zip(&self.expiries)
            .filter_map(|(member, expiry)| match expiry {
                Expiry::Unknown(reason) => Some((member, reason.as_str())),
                _ => None,
            })
            .collect();
        let Some((_, first)) = unknown.first() else { return };
        if unknown.len() == self.members.len() && unknown.iter().all(|(_, reason)| reason == first) {
            self.warnings.push(format!("the end of the server certificates is unknown: {first}"));
        } else {
            for (member, reason) in unknown {
                let name = &member.name;
                self.warnings.push(format!("the end of the server certificate of member {name} is unknown: {reason}"));
            }
        }
    }

    /// The members that may be taken without being named, best first.
    pub fn rank_members(&self) -> Vec<usize> {
        rank_members(&self.members, &self.statuses)
    }

    /// The member that is named, picked or recommended.
    pub async fn choose(&self, cli: &Cli, cluster: &KubeClient, ui: &Ui) -> Result<usize> {
        let ranked = self.rank_members();
        if let Some(word) = &cli.backup.member {
            let index = select_member(&self.members, &self.statuses, MemberSelector::of(word, &self.members))?;
            if let Some(trouble) = self.statuses[index].as_ref().and_then(MemberStatus::warning) {
                ui.warn(&format!("member {} {trouble}", self.members[index].name));
            }
            return Ok(index);
        }
        let rows = self.rows();
        let recommended = ranked.first().copied();
        if self.members.len() > 1 && ui.is_interactive() {
            let rows: Vec<SelectItem> =
                rows.iter().enumerate().map(|(index, row)| row.to_pick(recommended == Some(index))).collect();
            return pick("Which etcd member should be backed up?", &rows, recommended.unwrap_or_default()).await;
        }
        let Some(index) = recommended else {
            return Err(Error::failed(format!(
                "no member of cluster {} can be recommended: {}",
                cluster.name(),
                self.troubles().join(", ")
            ))
            .hint("name the one to take all the same with --member"));
        };
        if self.members.len() > 1 {
            ui.status(&format!("Taking the recommended member: {}", rows[index].to_pick(false).cells.join("  ")));
        }
        Ok(index)
    }

    /// The members for people and scripts.
    pub fn rows(&self) -> Vec<MemberRow> {
        let newest = self.statuses.iter().flatten().map(|status| status.raft_index).max().unwrap_or_default();
        let row = |(index, member): (usize, &Member)| {
            let (status, silence) = (self.statuses[index].as_ref(), self.silent[index].as_ref());
            MemberRow::new(member, status, silence, newest, self.expiries.get(index))
        };
        self.members.iter().enumerate().map(row).collect()
    }

    /// What could not be learned of the members, and why.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = self.warnings.clone();
        for (member, silence) in self.members.iter().zip(&self.silent) {
            match silence {
                Some(silence) if !gaps.iter().any(|known| known.ends_with(silence.reason())) => {
                    gaps.push(format!("nothing is known of member {}: {}", member.name, silence.reason()));
                }
                _ => {}
            }
        }
        gaps
    }

    fn troubles(&self) -> Vec<String> {
        let members = self.members.iter().zip(&self.statuses);
        members
            .map(|(member, status)| match status {
                Some(status) => format!("{} {}", member.pod_name, status.warning().unwrap_or_default()),
                None => format!("{} does not answer", member.pod_name),
            })
            .collect()
    }

    pub fn request<'r>(&'r self, cli: &'r Cli, chosen: usize) -> Request<'r> {
        let mut credentials = self.candidates[chosen].clone();
        // What opened etcd for the status goes first; the sort is stable, so the others keep their order.
        credentials
            .sort_by_key(|candidate| !(candidate.usable_in_etcd_container && Some(candidate.origin) == self.worked));
        Request {
            member: &self.members[chosen],
            transport: cli.backup.transport,
            etcd: &cli.backup.etcd,
            first_verified: self.worked.is_some()
                && credentials.first().is_some_and(|first| Some(first.origin) == self.worked),
            credentials,
            db_size: self.statuses[chosen].as_ref().map(|status| status.db_size),
            image: cli.backup.image.clone(),
            endpoint: cli.backup.pod.pod_endpoint.clone(),
            deadline: cli.backup.deadline,
            lease: cli.backup.lease,
            stall: cli.backup.stall_timeout,
            start_limit: cli.backup.pod_running_timeout,
        }
    }
}
