//! `verify --against-cluster`: files that were taken before, compared with the members of today.

use std::fs::File;

use etcd_snapshot::Contents;

use crate::cli::VerifyOptions;
use crate::commands::backup::member_differs;
use crate::commands::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::MemberSet;
use crate::ui::Ui;
use crate::verification::comparison::Verdict;
use crate::verification::hash_query::HashQuery;
use crate::verification::integrity::{self, MemberCheck};

/// The cluster that files are compared with.
pub(super) struct Cluster<'a> {
    options: &'a VerifyOptions,
    ui: &'a Ui,
    context: Context,
    members: MemberSet,
}

/// What is printed of a comparison.
pub(super) enum Finding {
    Agrees,
    Warning(String),
    Bad(Error),
}

impl<'a> Cluster<'a> {
    pub(super) async fn connect(options: &'a VerifyOptions, ui: &'a Ui) -> Result<Self> {
        let context = Context::connect(&options.cluster, ui).await?;
        let members = context.discover_verbose(ui).await?;
        Ok(Cluster { options, ui, context, members })
    }

    /// Compares a file whose structure is sound.
    pub(super) async fn compare(&self, file: &File, contents: Contents) -> Result<MemberCheck> {
        let query = HashQuery {
            client: &self.context.client,
            members: &self.members,
            options: &self.context.etcd,
            limits: self.options.hash_limits,
        };
        let (_, check) = integrity::content(query, file, Box::new(contents), None, self.ui).await?;
        Ok(check)
    }

    /// Returns what is printed of the comparison of the file called `name`.
    pub(super) fn finding(&self, name: &str, check: &MemberCheck) -> Finding {
        let MemberCheck::Compared(comparison) = check else { return Finding::Agrees };
        match comparison.verdict() {
            Verdict::Verified => Finding::Agrees,
            Verdict::MemberDiffers => Finding::Bad(member_differs(comparison, &self.members, name)),
            Verdict::FileDiffers => {
                let what = format!("{name} holds other data than the members: {}", comparison.summary());
                Finding::Bad(Error::new(ErrorKind::BadFile, what).hint(format!(
                    "check that it is a snapshot of cluster {}; if so, keep it, and do not restore from it until you know which one is right",
                    self.context.client.name()
                )))
            }
            Verdict::NotComparable => {
                Finding::Warning(format!("{name} could not be compared with the members: {}", comparison.summary()))
            }
        }
    }
}
