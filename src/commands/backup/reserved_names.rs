//! The names of the files that one run writes.
//!
//! `etcd-prod-eu-cp1-TIME.db` may be member `cp1` of context `prod-eu` or member `eu-cp1` of context `prod`. With
//! `--force` the second backup would replace the first.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Keeps the backups of one run from writing the same file.
#[derive(Debug, Default)]
pub(super) struct ReservedNames {
    /// In lower case, because some file systems ignore the case.
    names: Mutex<HashSet<String>>,
}

impl ReservedNames {
    /// Reserves `path` until the end of the run. If another backup has that name, this one gets a number: `x-2.db`.
    pub(super) fn reserve(&self, path: &Path) -> PathBuf {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = path.to_owned();
        let mut number = 1_u64;
        while !names.insert(name.to_string_lossy().to_lowercase()) {
            number += 1;
            name = numbered(path, number);
        }
        name
    }
}

/// Appends a number to the name, before its extension.
fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once_in_a_run_whatever_its_case() {
        let names = ReservedNames::default();
        let reserve = |name: &str| names.reserve(Path::new(name)).display().to_string();
        assert_eq!(reserve("out/etcd-prod-eu-cp1-T.db"), "out/etcd-prod-eu-cp1-T.db");
        assert_eq!(reserve("out/etcd-prod-eu-cp1-T.db"), "out/etcd-prod-eu-cp1-T-2.db");
        assert_eq!(reserve("out/etcd-Prod-EU-cp1-T.db"), "out/etcd-Prod-EU-cp1-T-3.db");
        assert_eq!(reserve("out/etcd-stage-cp1-T.db"), "out/etcd-stage-cp1-T.db");
        let other = ReservedNames::default();
        assert_eq!(other.reserve(Path::new("etcd-a-b-T.db")), Path::new("etcd-a-b-T.db"));
        assert_eq!(other.reserve(Path::new("etcd-a-b-T.db")), Path::new("etcd-a-b-T-2.db"));
    }
}
