//! Progress bars with rate and remaining time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::util::progress::Progress;

/// A long operation that has a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Copy,
    Check,
}

impl Operation {
    /// Returns the text of a status line or before a bar.
    pub(super) fn description(self) -> &'static str {
        match self {
            Operation::Copy => "Copying data from etcd to the local system",
            Operation::Check => "Checking the database in the snapshot",
        }
    }

    /// Returns the text before a bar that shares its line with a context.
    pub(super) fn short_description(self) -> &'static str {
        match self {
            Operation::Copy => "copying",
            Operation::Check => "checking",
        }
    }
}

/// The progress of an operation, perhaps without a bar. Dropping it ends the bar.
#[derive(Debug)]
pub(super) struct TerminalProgress(Option<ProgressBar>);

impl TerminalProgress {
    /// Shows nothing.
    pub(super) fn hidden() -> Self {
        TerminalProgress(None)
    }

    /// Uses a bar that is on the screen already; `None` shows nothing.
    pub(super) fn from_bar(bar: Option<ProgressBar>) -> Self {
        TerminalProgress(bar)
    }

    /// Starts a bar on a line of its own. `size` may be an estimate.
    pub(super) fn start_bar(operation: Operation, size: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(bar_style(&bar_template(operation.description(), size.is_some())));
        bar.enable_steady_tick(Duration::from_millis(500));
        TerminalProgress(Some(bar))
    }
}

/// Returns the template of a bar behind `label`.
pub(super) fn bar_template(label: &str, is_sized: bool) -> String {
    match is_sized {
        true => {
            format!("{label}  [{{bar:20}}] {{binary_bytes}}/{{binary_total_bytes}}  {{binary_bytes_per_sec}}  {{eta}}")
        }
        false => format!("{label}  {{binary_bytes}}  {{binary_bytes_per_sec}}"),
    }
}

/// Returns the style of a template. A test parses all templates; the default style is for a mistake in one.
pub(super) fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("#> ")
}

impl Progress for TerminalProgress {
    fn set_length(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(bytes);
        }
    }

    fn set_position(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            if bar.length().is_some_and(|length| bytes > length) {
                bar.set_length(bytes);
            }
            bar.set_position(bytes);
        }
    }

    fn set_position_clamped(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bar.length().map_or(bytes, |length| bytes.min(length)));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.set_length(bar.position());
            bar.finish();
        }
    }

    fn abandon(&self) {
        if let Some(bar) = &self.0 {
            bar.abandon();
        }
    }
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0
            && !bar.is_finished()
        {
            bar.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(length: u64) -> (ProgressBar, TerminalProgress) {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        (bar.clone(), TerminalProgress::from_bar(Some(bar)))
    }

    #[test]
    fn every_template_parses() {
        for operation in [Operation::Copy, Operation::Check] {
            for template in [bar_template(operation.description(), true), bar_template(operation.description(), false)]
            {
                assert!(ProgressStyle::with_template(&template).is_ok(), "{template}");
            }
        }
    }

    #[test]
    fn the_length_grows_with_the_position_unless_that_is_clamped() {
        let (bar, progress) = progress(100);
        progress.set_position_clamped(150);
        assert_eq!((bar.position(), bar.length()), (100, Some(100)));
        progress.set_position(150);
        assert_eq!((bar.position(), bar.length()), (150, Some(150)));
    }

    #[test]
    fn a_finished_bar_is_full_and_a_dropped_one_is_not() {
        let (bar, progress) = progress(100);
        progress.set_position(40);
        progress.finish();
        assert_eq!((bar.position(), bar.length(), bar.is_finished()), (40, Some(40), true));
        let (bar, progress) = self::progress(100);
        progress.set_position(40);
        drop(progress);
        assert_eq!((bar.position(), bar.length(), bar.is_finished()), (40, Some(100), true));
    }
}
