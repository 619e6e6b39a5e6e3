//! `verify --against-cluster`: files that were taken before, compared with the members of today.

use std::fs::File;

use crate::cli::{Cli, VerifyArgs};
use crate::commands::backup::outcome::member_differs;
use crate::commands::members::select::MemberSet;
use crate::error::{Error, ErrorKind, Result};
use crate::k8s::KubeClient;
use crate::ui::Ui;
use crate::verification::comparison::Verdict;
use crate::verification::hash_query::HashQuery;
use crate::verification::integrity;
use crate::verification::integrity::MemberCheck;
use etcd_snapshot::Contents;

/// The cluster that files are compared with.
pub(super) struct Against<'a> {
    cli: &'a Cli,
    args: &'a VerifyArgs,
    ui: &'a Ui,
    cluster: KubeClient,
    field: MemberSet,
}

impl<'a> Against<'a> {
    pub(super) async fn connect(cli: &'a Cli, args: &'a VerifyArgs, ui: &'a Ui) -> Result<Self> {
        let cluster = KubeClient::connect(&cli.connection).await?;
        let field = MemberSet::discover_verbose(cli, &cluster, ui).await?;
        Ok(Against { cli, args, ui, cluster, field })
    }

    /// Compares a file whose structure is sound.
    pub(super) async fn compare(&self, file: &File, contents: Contents) -> Result<MemberCheck> {
        let asking = HashQuery::new(self.cli, &self.args.content, &self.cluster, &self.field, self.ui);
        let (_, content) = integrity::content(asking, file, Box::new(contents), None, self.ui).await?;
        Ok(content)
    }

    /// What a person is told of a comparison that is no success: an error, or a warning.
    pub(super) fn judge(&self, name: &str, content: &MemberCheck) -> Option<Result<String, Error>> {
        let MemberCheck::Compared(comparison) = content else { return None };
        match comparison.verdict() {
            Verdict::Verified => None,
            Verdict::MemberDiffers => Some(Err(member_differs(comparison, &self.field, name))),
            Verdict::FileDiffers => Some(Err(Error::new(
                ErrorKind::BadFile,
                format!("{name} holds other data than the members: {}", comparison.sentence()),
            )
            .hint(format!(
                "is it of cluster {}? then keep it until it is known who is right, and do not restore from it",
                self.cluster.name()
            )))),
            Verdict::NotComparable => {
                Some(Ok(format!("{name} was not proven against the members: {}", comparison.sentence())))
            }
        }
    }
}
