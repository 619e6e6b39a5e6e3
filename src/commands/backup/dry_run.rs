//! `--dry-run=client`: everything that a backup does before it creates something, told in full.
//!
//! Nothing stops at the first trouble: who mends one thing wants to know of the others, too.

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;

use super::destination::{out_dir, validate_destination};
use super::request::snapshot_request;
use crate::cli::{BackupOptions, OutFile};
use crate::commands::context::Context;
use crate::commands::members::select::{choose_member, row_of};
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::{Member, MemberSet, MemberState, MemberStatus};
use crate::k8s::KubeClient;
use crate::snapshot::{NodePlan, Transport, TransportError, TransportProbe, permissions};
use crate::ui::{Table, Ui};
use crate::util::byte_size::decimal_bytes;
use crate::util::disk_space;
use crate::util::events::Events;

/// Checks all that can be checked for the member that would be taken.
pub(super) async fn run(options: &BackupOptions, context: &Context, ui: &Ui) -> Result<()> {
    let destination = validate_destination(options).map(drop);
    let members = context.discover_verbose(ui).await?;
    let chosen = choose_member(&members, options.member.as_deref(), &context.client, ui).await?;
    let request = snapshot_request(options, context, &members, chosen);

    let mut table = CheckTable::default();
    table.member(&members, chosen);
    let job = match TransportProbe::new(&context.client, &request).await {
        Ok(probe) => table.transport(&context.client, &chosen.member, probe, request.db_size).await,
        Err(error) => {
            table.failed("transport", error);
            None
        }
    };
    table.workstation(options, destination, request.db_size);

    table.table.take_lines().iter().for_each(|line| ui.status(line));
    match (job, options.format, &table.worst) {
        (Some(job), Some(format), _) => ui.document(format, &job)?,
        (Some(job), None, None) => {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            ui.println(&format!("job.batch/{name} created (dry run)"))?;
        }
        _ => {}
    }
    table.worst.map_or(Ok(()), |error| Err(error.context("the backup would fail")))
}

struct CheckTable {
    table: Table,
    /// The error that decides the exit code: a refusal goes before everything else.
    worst: Option<Error>,
}

impl Default for CheckTable {
    fn default() -> Self {
        CheckTable { table: Table::new(&["CHECK", "RESULT", "DETAIL"]), worst: None }
    }
}

impl CheckTable {
    fn ok(&mut self, check: &str, detail: &str) {
        self.table.row(&[check, "ok", detail]);
    }

    fn warning(&mut self, check: &str, detail: &str) {
        self.table.row(&[check, "warning", detail]);
    }

    fn failed(&mut self, check: &str, error: Error) {
        self.table.row(&[check, "failed", error.message()]);
        let goes_first = |known: &Error| known.kind() != ErrorKind::NotAllowed && error.kind() == ErrorKind::NotAllowed;
        if self.worst.as_ref().is_none_or(goes_first) {
            self.worst = Some(error);
        }
    }

    fn member(&mut self, members: &MemberSet, chosen: &MemberState) {
        let summary = row_of(members, chosen).summary();
        match chosen.status().map(MemberStatus::warning) {
            Some(None) => self.ok("member", &summary),
            Some(Some(_)) | None => self.warning("member", &summary),
        }
        let member = &chosen.member;
        if member.is_ready() {
            self.ok("pod", &format!("{} is ready", member.pod_path()));
        } else {
            let why = format!("pod {} is not ready: {}", member.pod_path(), member.why_not_ready());
            self.failed("pod", Error::failed(why).hint("choose another member with --member, or wait"));
        }
        match members.has_quorum() {
            Some(true) => self.ok("quorum", "the members know a leader"),
            Some(false) => self.warning("quorum", "lost: no member knows a leader; a member can still be backed up"),
            None => self.warning("quorum", "unknown: no member could be asked"),
        }
    }

    /// Goes through the transports as a backup would; the job of the one that it would take, if it has one.
    async fn transport(
        &mut self,
        cluster: &KubeClient,
        member: &Member,
        mut probe: TransportProbe<'_>,
        db_size: Option<u64>,
    ) -> Option<Job> {
        for transport in probe.transports.clone() {
            let asked = ask(cluster, member, transport).await;
            let (mut job, mut seen) = (None, None);
            let open = match asked.missing() {
                Some(error) => Err(TransportError::Unavailable(error)),
                None => match transport {
                    Transport::Direct => probe.direct().await.map(|version| format!("etcd {version} lets us in")),
                    Transport::Exec => probe.exec().await.map(|path| format!("there is a shell, and room in {path}")),
                    Transport::Node => {
                        let found = probe.node(asked.renewable).await;
                        let open = match found.unavailable() {
                            Some(error) => Err(TransportError::Unavailable(error.clone())),
                            None => Ok(transport.description().to_owned()),
                        };
                        seen = Some(found);
                        open
                    }
                },
            };
            match open {
                Ok(detail) => {
                    self.ok("transport", &format!("{transport}: {detail}"));
                    self.permissions(&asked);
                    if let Some(seen) = seen {
                        job = self.node(&seen, db_size);
                    }
                    return job;
                }
                Err(TransportError::Unavailable(error)) => {
                    if probe.transports.len() > 1 {
                        self.warning("transport", &format!("{transport} is not open: {}", error.message()));
                    }
                    probe.rule_out(transport, error);
                }
                Err(error) => {
                    self.failed("transport", error.into_error());
                    return None;
                }
            }
        }
        self.failed("transport", probe.into_error());
        None
    }

    fn permissions(&mut self, asked: &Asked) {
        for (access, fallback) in &asked.degraded {
            self.warning("right", &format!("not allowed to {access}; without it: {fallback}"));
        }
        match asked.unknown {
            0 => self.ok("rights", &format!("all of the {} required rules", asked.required)),
            unknown => {
                self.warning("rights", &format!("{} granted; of {unknown} the cluster does not tell", asked.granted));
            }
        }
    }

    /// What the node says; the job that would be created there.
    fn node(&mut self, seen: &NodePlan, db_size: Option<u64>) -> Option<Job> {
        let size = db_size.map_or_else(|| "of unknown size".to_owned(), |size| format!("of {}", decimal_bytes(size)));
        match &seen.node {
            Ok(Some(room)) => {
                let text =
                    format!("healthy, serves files, {} free for a database {size}", decimal_bytes(room.available));
                self.ok("node", &text);
            }
            Ok(None) => self.ok("node", "healthy, serves files"),
            Err(error) => self.failed("node", error.clone().into_error()),
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
                self.failed("job", error.clone().into_error());
                None
            }
        }
    }

    fn workstation(&mut self, options: &BackupOptions, destination: Result<()>, db_size: Option<u64>) {
        if let Err(error) = destination {
            return self.failed("file", error);
        }
        let directory = out_dir(options);
        let (path, shown) = match &options.out {
            OutFile::Stdout => return self.ok("file", "standard output"),
            OutFile::Path(path) => (path.clone(), path.display().to_string()),
            OutFile::DefaultName if directory.as_os_str().is_empty() => ("etcd.db".into(), "this directory".to_owned()),
            OutFile::DefaultName => (directory.join("etcd.db"), format!("directory {}", directory.display())),
        };
        match (disk_space::room_for(&path), db_size) {
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

/// What the cluster says to every single right of a transport.
#[derive(Default)]
struct Asked {
    required: usize,
    granted: usize,
    unknown: usize,
    missing: Vec<String>,
    degraded: Vec<(String, &'static str)>,
    renewable: bool,
}

impl Asked {
    fn missing(&self) -> Option<Error> {
        (!self.missing.is_empty()).then(|| {
            Error::not_allowed(format!("not allowed to {}", self.missing.join(", or to ")))
                .hint("'kubectl etcd-backup rbac' prints the rules for an administrator")
        })
    }
}

async fn ask(cluster: &KubeClient, member: &Member, transport: Transport) -> Asked {
    let permissions = permissions(transport);
    let mut asked =
        Asked { required: permissions.iter().filter(|right| right.is_required()).count(), ..Asked::default() };
    let each: Vec<_> = permissions
        .iter()
        .flat_map(|right| right.accesses(member).into_iter().map(move |access| (right, access)))
        .collect();
    let answers = join_all(each.iter().map(|(_, access)| cluster.can_i(access))).await;
    for ((right, access), answer) in each.iter().zip(answers) {
        asked.renewable |= access.verb == "patch" && answer == Some(true);
        // Before Kubernetes 1.35, `get` is enough for what needs both from then on.
        let upgrade = access.verb == "create" && right.verbs.contains(&"get") && access.subresource.is_some();
        match (answer, right.fallback) {
            (Some(true), _) => asked.granted += 1,
            (None, _) => asked.unknown += 1,
            (Some(false), _) if upgrade => {}
            (Some(false), None) => asked.missing.push(access.to_string()),
            (Some(false), Some(fallback)) => asked.degraded.push((access.to_string(), fallback)),
        }
    }
    asked
}
