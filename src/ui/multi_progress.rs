//! The user interface of several backups that run side by side: one line of a terminal for each.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::sanitize::sanitize;
use super::{Ui, to_stderr};

/// The lines of all backups that run side by side.
#[derive(Debug, Clone)]
pub struct MultiProgressUi {
    screen: MultiProgress,
    /// Columns of the longest name.
    width: usize,
}

impl MultiProgressUi {
    /// Lines for backups with these names; none is shown yet.
    pub fn new(ui: &Ui, names: &[String]) -> Self {
        let shown = io::stderr().is_terminal() && !ui.is_quiet();
        let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let width = names.iter().map(|name| console::measure_text_width(name)).max().unwrap_or_default();
        MultiProgressUi { screen: MultiProgress::with_draw_target(target), width }
    }

    /// Creates the `Ui` of one context: no prompts, all output on that context's progress line.
    pub fn ui_for_context(&self, ui: &Ui, name: &str) -> Ui {
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(style("{prefix}   {wide_msg}"));
        bar.set_prefix(console::pad_str(&sanitize(name), self.width, console::Alignment::Left, None).into_owned());
        bar.set_message("waiting");
        let line = ContextLine { name: name.to_owned(), bar, screen: self.clone() };
        Ui { quiet: ui.quiet, warnings: Arc::default(), line: Some(Arc::new(line)) }
    }

    /// Prints text above the progress lines.
    fn print(&self, text: &str) {
        self.screen.suspend(|| to_stderr(text));
    }
}

/// One line of several.
#[derive(Debug)]
pub(super) struct ContextLine {
    name: String,
    bar: ProgressBar,
    screen: MultiProgressUi,
}

impl ContextLine {
    /// What is being done now.
    pub(super) fn status(&self, line: &str) {
        let line = line.trim();
        if !line.is_empty() && !self.bar.is_hidden() {
            self.bar.set_style(style("{prefix}   {wide_msg}"));
            if self.bar.is_finished() {
                self.bar.reset();
            }
            self.bar.set_message(sanitize(line).into_owned());
        }
    }

    /// A line that stays, with the name of this backup.
    pub(super) fn print(&self, text: &str) {
        self.screen.print(&format!("{}: {text}", sanitize(&self.name)));
    }

    /// The line as a bar, for what `verb` says; `None` where nothing is shown.
    pub(super) fn bar(&self, verb: &str, size: Option<u64>) -> Option<ProgressBar> {
        if self.bar.is_hidden() {
            return None;
        }
        self.bar.reset();
        self.bar.set_style(style(&bar_template(verb, size.is_some())));
        if let Some(size) = size {
            self.bar.set_length(size);
        }
        self.bar.enable_steady_tick(Duration::from_millis(500));
        Some(self.bar.clone())
    }

    /// The last word of this backup.
    pub(super) fn finish_line(&self, word: &str) {
        self.bar.set_style(style("{prefix}   {wide_msg}"));
        self.bar.finish_with_message(sanitize(word).into_owned());
        if self.bar.is_hidden() {
            self.print(&format!("{}\n", sanitize(word)));
        }
    }
}

fn bar_template(verb: &str, is_sized: bool) -> String {
    match is_sized {
        true => format!(
            "{{prefix}}   {verb} [{{bar:20}}] {{binary_bytes}}/{{binary_total_bytes}}  {{binary_bytes_per_sec}}  {{eta}}"
        ),
        false => format!("{{prefix}}   {verb} {{binary_bytes}}  {{binary_bytes_per_sec}}"),
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse would be a mistake of ours: the default is shown then.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("#> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_good_ones() {
        for template in ["{prefix}   {wide_msg}", &bar_template("copying", true), &bar_template("checking", false)] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
