//! `verify --against-cluster`: compares files with the members as they are now.

use std::fs::File;

use etcd_snapshot::Contents;

use crate::cli::VerifyOptions;
use crate::commands::bad_member::bad_member_error;
use crate::commands::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::etcd::MemberSet;
use crate::ui::Ui;
use crate::verification::comparison::Verdict;
use crate::verification::hash_query::HashQuery;
use crate::verification::member_check::{MemberCheck, compare_with_members};

/// The cluster to compare with.
pub(super) struct ReferenceCluster<'a> {
    options: &'a VerifyOptions,
    ui: &'a Ui,
    context: Context,
    members: MemberSet,
}

/// The conclusion from a comparison.
pub(super) enum Finding {
    Agrees,
    Warning(String),
    Bad(Error),
}

impl<'a> ReferenceCluster<'a> {
    pub(super) async fn connect(options: &'a VerifyOptions, ui: &'a Ui) -> Result<Self> {
        let context = Context::connect(&options.cluster, ui).await?;
        let members = context.discover_verbose(ui).await?;
        Ok(ReferenceCluster { options, ui, context, members })
    }

    /// Compares a file whose structure is sound.
    pub(super) async fn compare(&self, file: &File, contents: Contents) -> Result<MemberCheck> {
        let query = HashQuery {
            client: &self.context.client,
            members: &self.members,
            options: &self.context.etcd,
            limits: self.options.hash_limits,
        };
        let (_, check) = compare_with_members(query, file, Box::new(contents), None, self.ui).await?;
        Ok(check)
    }

    /// Returns the conclusion from the comparison of the file called `name`.
    pub(super) fn conclude(&self, name: &str, check: &MemberCheck) -> Finding {
        let MemberCheck::Compared(comparison) = check else { return Finding::Agrees };
        match comparison.verdict() {
            Verdict::Verified => Finding::Agrees,
            Verdict::MemberDiffers => Finding::Bad(bad_member_error(comparison, &self.members, name)),
            Verdict::FileDiffers => {
                let message = format!("{name} differs from the data of the members: {}", comparison.summary());
                Finding::Bad(Error::new(ErrorKind::BadFile, message).hint(format!(
                    "check that it is a snapshot of cluster {}; if it is, keep it, and do not restore from it until you know which one is right",
                    self.context.client.name()
                )))
            }
            Verdict::NotComparable => {
                Finding::Warning(format!("cannot compare {name} with the members: {}", comparison.summary()))
            }
        }
    }
}
