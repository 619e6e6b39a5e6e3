//! `--dry-run=client`: everything that a backup does before it creates something, told in full.
//!
//! Nothing stops at the first trouble: who mends one thing wants to know of the others, too.

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;

use super::field::Field;
use crate::cli::{Cli, Destination};
use crate::cluster::Cluster;
use crate::error::{Error, Kind, Result};
use crate::etcd::MemberStatus;
use crate::etcd::status::has_quorum;
use crate::sink;
use crate::snapshot::{Preview, Transport, preview, rights};
use crate::ui::{Table, Ui, decimal_bytes};

/// Checks all that can be checked for the member that would be taken.
pub(super) async fn run(cli: &Cli, ui: &Ui, cluster: &Cluster) -> Result<()> {
    let early = super::backup::early_checks(cli).map(drop);
    let field = Field::survey(cli, cluster, ui).await?;
    let chosen = field.choose(cli, cluster, ui).await?;
    let request = field.request(cli, chosen);

    let mut sheet = Sheet::default();
    sheet.member(&field, chosen);
    let renewable = sheet.rights(cluster, &field, chosen).await;
    let seen = preview(cluster, &request, renewable).await;
    let job = sheet.node(&seen, request.db_size);
    sheet.workstation(cli, early, request.db_size);

    sheet.table.take_lines().iter().for_each(|line| ui.say(line));
    if let Some(job) = job {
        match cli.talk.output {
            Some(format) => ui.document(format, &job)?,
            None if sheet.worst.is_none() => {
                let name = job.metadata.name.as_deref().unwrap_or_default();
                ui.data(&format!("job.batch/{name} created (dry run)"))?;
            }
            None => {}
        }
    }
    sheet.worst.map_or(Ok(()), |error| Err(error.during("the backup would fail")))
}

struct Sheet {
    table: Table,
    /// The error that decides the exit code: a refusal goes before everything else.
    worst: Option<Error>,
}

impl Default for Sheet {
    fn default() -> Self {
        Sheet { table: Table::new(&["CHECK", "RESULT", "DETAIL"]), worst: None }
    }
}

impl Sheet {
    fn ok(&mut self, check: &str, detail: &str) {
        self.table.row(&[check, "ok", detail]);
    }

    fn warning(&mut self, check: &str, detail: &str) {
        self.table.row(&[check, "warning", detail]);
    }

    fn failed(&mut self, check: &str, error: Error) {
        self.table.row(&[check, "failed", error.message()]);
        let goes_first = |known: &Error| known.kind() != Kind::NotAllowed && error.kind() == Kind::NotAllowed;
        if self.worst.as_ref().is_none_or(goes_first) {
            self.worst = Some(error);
        }
    }

    fn member(&mut self, field: &Field, chosen: usize) {
        let row = field.rows()[chosen].to_pick(false).cells.join("  ");
        match field.statuses[chosen].as_ref().map(MemberStatus::trouble) {
            Some(None) => self.ok("member", &row),
            Some(Some(_)) | None => self.warning("member", &row),
        }
        let member = &field.members[chosen];
        if member.is_ready() {
            self.ok("pod", &format!("{} is ready", member.pod_path()));
        } else {
            let why = format!("pod {} is not ready: {}", member.pod_path(), member.why_not_ready());
            self.failed("pod", Error::failed(why).hint("choose another member with --member, or wait"));
        }
        match has_quorum(&field.statuses) {
            Some(true) => self.ok("quorum", "the members know a leader"),
            Some(false) => self.warning("quorum", "lost: no member knows a leader; a member can still be backed up"),
            None => self.warning("quorum", "unknown: no member could be asked"),
        }
    }

    /// Asks for every single right; whether the job's time can be renewed.
    async fn rights(&mut self, cluster: &Cluster, field: &Field, chosen: usize) -> bool {
        let member = &field.members[chosen];
        let mut asked = Vec::new();
        for right in rights(Transport::Node) {
            asked.extend(right.accesses(member).into_iter().map(|access| (right, access)));
        }
        let answers = join_all(asked.iter().map(|(_, access)| cluster.may(access))).await;
        let (mut granted, mut unknown, mut missing) = (0, 0, Vec::new());
        let mut renewable = false;
        for ((right, access), answer) in asked.iter().zip(answers) {
            renewable |= access.verb == "patch" && answer == Some(true);
            match (answer, right.without) {
                (Some(true), _) => granted += 1,
                (None, _) => unknown += 1,
                (Some(false), None) => missing.push(access.to_string()),
                // kubelets before Kubernetes 1.35 are content with `get`.
                (Some(false), Some(_)) if access.verb == "create" && right.verbs.contains(&"get") => {}
                (Some(false), Some(without)) => {
                    self.warning("right", &format!("not allowed to {access}; without it: {without}"));
                }
            }
        }
        if !missing.is_empty() {
            let error = Error::not_allowed(format!("not allowed to {}", missing.join(", or to ")));
            self.failed("rights", error.hint("'kubectl etcd-backup rbac' prints the rules for an administrator"));
        } else if unknown > 0 {
            self.warning("rights", &format!("{granted} granted; of {unknown} the cluster does not tell"));
        } else {
            let required = rights(Transport::Node).iter().filter(|right| right.is_required()).count();
            self.ok("rights", &format!("all of the {required} required rules"));
        }
        renewable
    }

    /// What the node says; the job that would be created there.
    fn node(&mut self, seen: &Preview, db_size: Option<u64>) -> Option<Job> {
        let size = db_size.map_or_else(|| "of unknown size".to_owned(), |size| format!("of {}", decimal_bytes(size)));
        match &seen.node {
            Ok(Some(room)) => {
                let text =
                    format!("healthy, serves files, {} free for a database {size}", decimal_bytes(room.available));
                self.ok("node", &text);
            }
            Ok(None) => self.ok("node", "healthy, serves files"),
            Err(error) => self.failed("node", error.clone()),
        }
        seen.warnings.iter().for_each(|warning| self.warning("node", warning));
        if let Some(image) = &seen.image {
            match seen.image_is_there {
                Some(true) => self.ok("image", &format!("{image} is on the node")),
                Some(false) => self.warning("image", &format!("{image} is not on the node and must be pulled")),
                None => self.warning("image", &format!("{image}; whether it is on the node is unknown")),
            }
        }
        match &seen.job {
            Ok(job) => {
                let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
                self.ok("job", &format!("one job with one pod would be created in {namespace}"));
                Some(job.clone())
            }
            Err(error) => {
                self.failed("job", error.clone());
                None
            }
        }
    }

    fn workstation(&mut self, cli: &Cli, early: Result<()>, db_size: Option<u64>) {
        if let Err(error) = early {
            return self.failed("file", error);
        }
        let path = match cli.backup.destination() {
            Destination::Stdout => return self.ok("file", "standard output"),
            Destination::File(path) => path,
            Destination::Named => "./".into(),
        };
        let shown = if path.as_os_str() == "./" { "this directory".to_owned() } else { path.display().to_string() };
        match (sink::room_for(&path), db_size) {
            (Some(room), Some(size)) if room < size => {
                let what = format!(
                    "{} are free here for {shown}, and the database has {}",
                    decimal_bytes(room),
                    decimal_bytes(size)
                );
                self.failed("file", Error::failed(what).hint("choose another directory with --out"));
            }
            (Some(room), _) => self.ok("file", &format!("{shown} can be written, {} free", decimal_bytes(room))),
            (None, _) => self.warning("file", &format!("{shown} can be written; free space is unknown")),
        }
    }
}
