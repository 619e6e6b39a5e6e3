//! The progress lines of several backups that run at the same time, one for each kubeconfig context.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::progress::{Operation, bar_style, bar_template};
use super::sanitize::sanitize;
use super::stream::write_stderr;

/// A line that shows the context and a message.
const MESSAGE: &str = "{prefix}   {wide_msg}";

/// The lines of all contexts.
#[derive(Debug, Clone)]
pub struct ContextLines {
    screen: MultiProgress,
    /// Columns of the longest name.
    width: usize,
}

impl ContextLines {
    /// Prepares lines for contexts with these names. Without `visible`, only the lines that stay are printed.
    pub(super) fn new(names: &[String], visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let width = names.iter().map(|name| console::measure_text_width(name)).max().unwrap_or_default();
        ContextLines { screen: MultiProgress::with_draw_target(target), width }
    }

    /// Adds the line of one context.
    pub(super) fn add_line(&self, name: &str) -> ContextLine {
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(bar_style(MESSAGE));
        bar.set_prefix(console::pad_str(&sanitize(name), self.width, console::Alignment::Left, None).into_owned());
        bar.set_message("waiting");
        ContextLine { name: name.to_owned(), bar, lines: self.clone() }
    }

    /// Prints text above the lines.
    fn print_above(&self, text: &str) {
        self.screen.suspend(|| write_stderr(text));
    }
}

/// The line of one context.
#[derive(Debug)]
pub(super) struct ContextLine {
    name: String,
    bar: ProgressBar,
    lines: ContextLines,
}

impl ContextLine {
    /// Shows the step that begins now.
    pub(super) fn set_status(&self, status: &str) {
        let status = status.trim();
        if !status.is_empty() && !self.bar.is_hidden() {
            self.bar.set_style(bar_style(MESSAGE));
            if self.bar.is_finished() {
                self.bar.reset();
            }
            self.bar.set_message(sanitize(status).into_owned());
        }
    }

    /// Prints a line that stays, with the name of the context.
    pub(super) fn print(&self, text: &str) {
        self.lines.print_above(&format!("{}: {text}", sanitize(&self.name)));
    }

    /// Turns the line into a bar; `None` if the lines are not visible.
    pub(super) fn start_bar(&self, operation: Operation, size: Option<u64>) -> Option<ProgressBar> {
        if self.bar.is_hidden() {
            return None;
        }
        self.bar.reset();
        self.bar.set_style(bar_style(&line_template(operation, size.is_some())));
        if let Some(size) = size {
            self.bar.set_length(size);
        }
        self.bar.enable_steady_tick(Duration::from_millis(500));
        Some(self.bar.clone())
    }

    /// Shows the result, which stays on the screen.
    pub(super) fn finish(&self, result: &str) {
        self.bar.set_style(bar_style(MESSAGE));
        self.bar.finish_with_message(sanitize(result).into_owned());
        if self.bar.is_hidden() {
            self.print(&format!("{}\n", sanitize(result)));
        }
    }
}

fn line_template(operation: Operation, is_sized: bool) -> String {
    bar_template(&format!("{{prefix}}   {}", operation.short_description()), is_sized)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    use super::*;

    #[test]
    fn every_template_parses() {
        for template in [MESSAGE, &line_template(Operation::Copy, true), &line_template(Operation::Check, false)] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn names_are_padded_to_the_longest_one() {
        let lines = ContextLines::new(&["prod".to_owned(), "staging".to_owned()], false);
        assert_eq!(lines.add_line("prod").bar.prefix(), "prod   ");
        assert_eq!(lines.add_line("staging").bar.prefix(), "staging");
    }
}
