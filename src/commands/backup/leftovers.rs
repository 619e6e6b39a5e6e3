//! Names the temporary files of killed runs at the start of a backup.

use super::destination::location;
use crate::cli::BackupOptions;
use crate::storage::leftover::{Leftover, find_leftovers};
use crate::util::events::Events;

/// Names that are printed; of the others only the number is.
const MOST_NAMES: usize = 3;

/// Warns about temporary files in the directory of the destination. An empty one holds nothing.
pub(super) fn warn_about_leftovers(options: &BackupOptions, events: &dyn Events) {
    let Some((path, _)) = location(options) else { return };
    let Some(directory) = path.parent() else { return };
    // A directory that cannot be read is the error of the next check.
    let mut leftovers = find_leftovers(directory).unwrap_or_default();
    leftovers.retain(|leftover| leftover.size > 0);
    let directory = if directory.as_os_str().is_empty() { ".".to_owned() } else { directory.display().to_string() };
    if let Some(warning) = leftover_warning(&leftovers, &directory) {
        events.warn(&warning);
    }
}

fn leftover_warning(leftovers: &[Leftover], directory: &str) -> Option<String> {
    let (first, _) = leftovers.split_first()?;
    let names: Vec<String> =
        leftovers.iter().take(MOST_NAMES).map(|leftover| leftover.path.display().to_string()).collect();
    let names = names.join(", ");
    let cleanup = format!("'kubectl etcd-backup cleanup --local {directory}'");
    Some(match leftovers.len() {
        1 if first.is_expired() => {
            format!("a run that was killed left {names}, which may hold Secrets; delete it with {cleanup}")
        }
        1 => format!(
            "a run that was killed left {names}, which may hold Secrets; {cleanup} deletes it when it is 24 hours old"
        ),
        count => {
            let more = match count.saturating_sub(MOST_NAMES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "runs that were killed left {names}{more}, which may hold Secrets; {cleanup} deletes those that are 24 hours old"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leftovers(hours: &[u64]) -> Vec<Leftover> {
        let leftover = |(number, hours): (usize, &u64)| Leftover {
            path: format!("out/.{number}.db.aaaaaa.part").into(),
            size: 1,
            age: Duration::from_secs(hours * 3600),
        };
        hours.iter().enumerate().map(leftover).collect()
    }

    #[test]
    fn the_warning_names_the_files_and_the_command() {
        let warning = |hours: &[u64]| leftover_warning(&leftovers(hours), "out").unwrap_or_default();
        assert_eq!(warning(&[]), "");
        let old = warning(&[25]);
        assert!(old.contains("left out/.0.db.aaaaaa.part, which"), "{old}");
        assert!(old.ends_with("delete it with 'kubectl etcd-backup cleanup --local out'"), "{old}");
        assert!(warning(&[1]).ends_with("deletes it when it is 24 hours old"));
        let many = warning(&[1, 25, 2, 3, 4]);
        assert!(many.contains(".2.db.aaaaaa.part and 2 more, which") && !many.contains(".3.db"), "{many}");
    }
}
