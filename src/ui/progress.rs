//! The progress of the copy: a bar with rate and remaining time on a terminal, a plain line elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Ui;
use crate::util::events::Events;
use crate::util::progress::Progress;

const COPYING: &str = "Copying data from etcd to the local system";
const CHECKING: &str = "Checking the database in the snapshot";

/// A check of less than this ends before anybody could read a bar.
const WORTH_A_BAR: u64 = 64 << 20;

/// The progress of a copy or a check. Dropped, it leaves the terminal in order.
#[derive(Debug)]
pub(super) struct TerminalProgress(Option<ProgressBar>);

impl TerminalProgress {
    /// Starts it. `size` is an estimate: the database's size, as the member told it.
    pub(super) fn of_copy(ui: &Ui, size: Option<u64>) -> Self {
        TerminalProgress::labelled(COPYING, ui, size)
    }

    /// The same for the check of a file of `size` bytes; nothing for a small one.
    pub(super) fn of_check(ui: &Ui, size: u64) -> Self {
        if size < WORTH_A_BAR { TerminalProgress(None) } else { TerminalProgress::labelled(CHECKING, ui, Some(size)) }
    }

    fn labelled(label: &str, ui: &Ui, size: Option<u64>) -> Self {
        if ui.is_quiet() {
            return TerminalProgress(None);
        }
        if let Some(line) = &ui.line {
            return TerminalProgress(line.bar(if label == CHECKING { "checking" } else { "copying" }, size));
        }
        if !io::stderr().is_terminal() {
            ui.status(label);
            return TerminalProgress(None);
        }
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(10));
        let template = match size {
            Some(_) => format!(
                "{label}  [{{bar:20}}] {{binary_bytes}}/{{binary_total_bytes}}  {{binary_bytes_per_sec}}  {{eta}}"
            ),
            None => format!("{label}  {{binary_bytes}}  {{binary_bytes_per_sec}}"),
        };
        // A template that does not parse would be a mistake of ours: the default bar is shown then.
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("#> "));
        bar.enable_steady_tick(Duration::from_millis(500));
        TerminalProgress(Some(bar))
    }
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
