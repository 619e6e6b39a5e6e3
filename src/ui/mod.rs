//! The only module that prints.
//!
//! Status, prompts, bars and errors go to standard error; standard output carries only data. Text from a cluster is
//! escaped before it reaches the terminal. A standard error that was closed does not stop a run.

mod confirmation_prompt;
mod multi_progress;
mod password_prompt;
mod progress;
mod sanitize;
mod select_prompt;
mod stream;
mod table;
mod terminal;

pub use confirmation_prompt::prompt_confirmation;
pub use multi_progress::ContextLines;
pub use password_prompt::prompt_password;
pub use select_prompt::{SelectItem, prompt_selection};
pub use table::Table;
pub use terminal::restore_terminal;

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::util::events::Events;
use crate::util::progress::Progress;
use progress::{Operation, TerminalProgress};
use sanitize::sanitize;
use stream::{stderr_style, write_stderr, write_stdout};

/// A check of fewer bytes ends before a user could read a bar.
const SMALLEST_BAR: u64 = 64 << 20;

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputOptions {
    /// `--quiet`: errors only.
    pub quiet: bool,
}

/// The format of a document on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names only.
    Name,
}

/// Writes messages to standard error and data to standard output.
#[derive(Debug, Clone)]
pub struct Ui {
    quiet: bool,
    warnings: Arc<Mutex<Vec<String>>>,
    /// Set for one of several backups, which has a line of its own.
    line: Option<Arc<multi_progress::ContextLine>>,
}

impl Ui {
    pub fn new(options: OutputOptions) -> Self {
        Ui { quiet: options.quiet, warnings: Arc::default(), line: None }
    }

    /// Prepares the lines of several contexts. They are visible on a terminal only.
    pub fn context_lines(&self, names: &[String]) -> ContextLines {
        ContextLines::new(names, io::stderr().is_terminal() && !self.quiet)
    }

    /// Creates the `Ui` of one context: no prompts, all output on that context's line.
    pub fn for_context(&self, lines: &ContextLines, name: &str) -> Ui {
        Ui { quiet: self.quiet, warnings: Arc::default(), line: Some(Arc::new(lines.add_line(name))) }
    }

    /// Reports whether the user wants errors only.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Reports whether a prompt is possible: the user can see it and type.
    pub fn is_interactive(&self) -> bool {
        self.line.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints the start of a line that the next [`Events::status`] ends.
    pub fn status_start(&self, start: &str) {
        if let Some(line) = &self.line {
            return line.set_status(start);
        }
        if !self.quiet {
            write_stderr(&sanitize(start));
        }
    }

    /// Prints a warning with its hints even with `--quiet`: something on the cluster may need action. The warning is
    /// also kept for the document.
    pub fn warn_always(&self, error: &Error) {
        let not_quiet = Ui { quiet: false, ..self.clone() };
        let hints: String = error.hints().iter().map(|hint| format!("; {hint}")).collect();
        not_quiet.warn(&format!("{}{hints}", error.message()));
    }

    /// Returns all warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Prints the error of a run that failed.
    pub fn error(&self, error: &Error) {
        write_stderr(&format_error(error));
    }

    /// Writes a line of data to standard output.
    ///
    /// # Errors
    /// [`ErrorKind::StdoutClosed`](crate::error::ErrorKind::StdoutClosed) if the reader closed it.
    pub fn println(&self, line: &str) -> Result<()> {
        write_stdout(&format!("{}\n", sanitize(line)))
    }

    /// Writes a document to standard output.
    ///
    /// # Errors
    /// As [`Ui::println`].
    pub fn document<T: Serialize>(&self, format: Format, document: &T) -> Result<()> {
        match format {
            // The command line accepts Wide and Name only for tables. Our documents always convert, because they have
            // text keys and finite numbers.
            Format::Json | Format::Wide | Format::Name => {
                write_stdout(&format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default()))
            }
            Format::Yaml => write_stdout(&crate::util::yaml::to_string(document)),
        }
    }

    /// Prints the result of one of several backups.
    pub fn finish_line(&self, result: &str) {
        match &self.line {
            Some(line) if !self.quiet => line.finish(result),
            _ => {}
        }
    }

    fn start_progress(&self, operation: Operation, size: Option<u64>) -> TerminalProgress {
        if self.quiet {
            return TerminalProgress::hidden();
        }
        if let Some(line) = &self.line {
            return TerminalProgress::from_bar(line.start_bar(operation, size));
        }
        if !io::stderr().is_terminal() {
            self.status(operation.description());
            return TerminalProgress::hidden();
        }
        TerminalProgress::start_bar(operation, size)
    }
}

impl Events for Ui {
    fn status(&self, line: &str) {
        match &self.line {
            Some(own) => own.set_status(line),
            None if !self.quiet => write_stderr(&format!("{}\n", sanitize(line))),
            None => {}
        }
    }

    /// Prints a warning and keeps it for the document.
    fn warn(&self, warning: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning.to_owned());
        if !self.quiet {
            let line = format_warning(warning);
            match &self.line {
                Some(own) => own.print(&line),
                None => write_stderr(&line),
            }
        }
    }

    fn copy_progress(&self, size: Option<u64>) -> Box<dyn Progress> {
        Box::new(self.start_progress(Operation::Copy, size))
    }

    fn check_progress(&self, size: u64) -> Box<dyn Progress> {
        Box::new(match size {
            size if size < SMALLEST_BAR => TerminalProgress::hidden(),
            size => self.start_progress(Operation::Check, Some(size)),
        })
    }
}

fn format_warning(warning: &str) -> String {
    format!("{} {}\n", stderr_style().yellow().bold().apply_to("warning:"), sanitize(warning))
}

/// Formats an error with its details, hints and manifest, each on lines of its own.
fn format_error(error: &Error) -> String {
    let style = stderr_style();
    let mut text = format!("{} {}\n", style.clone().red().bold().apply_to("error:"), sanitize(error.message()));
    for line in error.details() {
        text.push_str(&format!("  {}\n", sanitize(line)));
    }
    for hint in error.hints() {
        text.push_str(&format!("{} {}\n", style.clone().cyan().apply_to("hint:"), sanitize(hint)));
    }
    for line in error.grant_manifest().unwrap_or_default().lines() {
        text.push_str(&format!("  {}\n", sanitize(line)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_details_hints_and_a_manifest_below_it() {
        console::set_colors_enabled_stderr(false);
        let error = Error::failed("cannot do it: no")
            .detail("node: not allowed")
            .hint("use --force")
            .hint("run it again")
            .manifest("kind: Role\nrules: []\n");
        assert_eq!(
            format_error(&error),
            "error: cannot do it: no\n  node: not allowed\nhint: use --force\nhint: run it again\n  kind: Role\n  rules: []\n"
        );
    }

    #[test]
    fn text_from_a_cluster_cannot_write_escape_sequences_or_lines() {
        console::set_colors_enabled_stderr(false);
        let hostile = "a\u{1b}[2J\nerror: b";
        let escaped = "a\\u{1b}[2J error: b";
        assert_eq!(format_warning(hostile), format!("warning: {escaped}\n"));
        let error = Error::failed(hostile).detail(hostile).hint(hostile);
        assert_eq!(format_error(&error), format!("error: {escaped}\n  {escaped}\nhint: {escaped}\n"));
    }

    #[test]
    fn warnings_are_kept_even_if_they_are_not_printed() {
        let ui = Ui::new(OutputOptions { quiet: true });
        ui.warn("first");
        ui.clone().warn("second");
        assert_eq!(ui.warnings(), ["first", "second"]);
        let other = ui.for_context(&ui.context_lines(&[]), "prod");
        assert!(other.warnings().is_empty(), "each context has warnings of its own");
        assert!(!other.is_interactive());
    }
}
