//! The progress of the copy: a bar with rate and remaining time on a terminal, a plain line elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Ui;

const COPYING: &str = "Copying data from etcd to the local system";
const CHECKING: &str = "Checking the database in the snapshot";

/// A check of less than this ends before anybody could read a bar.
const WORTH_A_BAR: u64 = 64 << 20;

/// The progress of a copy or a check. Dropped, it leaves the terminal in order.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts it. `size` is an estimate: the database's size, as the member told it.
    pub fn start(ui: &Ui, size: Option<u64>) -> Self {
        Progress::labelled(COPYING, ui, size)
    }

    /// The same for the check of a file of `size` bytes; nothing for a small one.
    pub fn checking(ui: &Ui, size: u64) -> Self {
        if size < WORTH_A_BAR { Progress::none() } else { Progress::labelled(CHECKING, ui, Some(size)) }
    }

    /// Nothing is shown.
    pub fn none() -> Self {
        Progress(None)
    }

    fn labelled(label: &str, ui: &Ui, size: Option<u64>) -> Self {
        if ui.is_quiet() {
            return Progress(None);
        }
        if let Some(lane) = &ui.lane {
            return Progress(lane.bar(if label == CHECKING { "checking" } else { "copying" }, size));
        }
        if !io::stderr().is_terminal() {
            ui.status(label);
            return Progress(None);
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
        Progress(Some(bar))
    }

    /// It will be `bytes` in all: better than the estimate.
    pub fn of(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(bytes);
        }
    }

    /// `bytes` have arrived in all.
    pub fn at(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            if bar.length().is_some_and(|length| bytes > length) {
                bar.set_length(bytes);
            }
            bar.set_position(bytes);
        }
    }

    /// `bytes` have been read in all; a check reads some parts twice, and is at its end when it ends.
    pub fn read(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bar.length().map_or(bytes, |length| bytes.min(length)));
        }
    }

    /// Everything arrived: the estimate gives way to the truth.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.set_length(bar.position());
            bar.finish();
        }
    }

    /// It ended early; the bar stays where it was.
    pub fn abandon(&self) {
        if let Some(bar) = &self.0 {
            bar.abandon();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0
            && !bar.is_finished()
        {
            bar.abandon();
        }
    }
}
