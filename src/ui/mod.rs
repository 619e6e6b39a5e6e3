//! The only place that prints.
//!
//! Talk, prompts, bars and errors go to standard error; standard output carries data alone. Whatever a cluster said is
//! escaped before it reaches the terminal, and a terminal that has gone away is no reason to fail.

mod multi_progress;
mod password_prompt;
mod progress;
mod sanitize;
mod select_prompt;
mod table;

pub use multi_progress::MultiProgressUi;
pub use password_prompt::prompt_password;
pub use select_prompt::{SelectItem, pick};
pub use table::Table;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use console::{Style, Term};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::util::events::Events;
use crate::util::progress::Progress;
use progress::TerminalProgress;
use sanitize::sanitize;

/// What the user wants to see.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Errors only.
    pub quiet: bool,
}

/// The form of a document on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// One YAML document.
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
    pub fn new(options: Options) -> Self {
        Ui { quiet: options.quiet, warnings: Arc::default(), line: None }
    }

    /// Nothing but errors is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A person sits in front: both the questions can be seen and the answers typed.
    pub fn is_interactive(&self) -> bool {
        self.line.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// The start of a line that [`Ui::say`] ends.
    pub fn status_start(&self, start: &str) {
        if let Some(line) = &self.line {
            return line.status(start);
        }
        if !self.quiet {
            to_stderr(&sanitize(start));
        }
    }

    /// Something that was left behind and that somebody must know of, with what to do: said with `-q`, too. It is also
    /// kept for the document.
    pub fn warn_always(&self, error: &Error) {
        let quiet = Ui { quiet: false, ..self.clone() };
        let hints: String = error.hints().iter().map(|hint| format!("; {hint}")).collect();
        quiet.warn(&format!("{}{hints}", error.message()));
    }

    /// All warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last words of a run that failed.
    pub fn error(&self, error: &Error) {
        let mut text = format!("{} {}\n", style().red().bold().apply_to("error:"), sanitize(error.message()));
        for line in error.details() {
            text.push_str(&format!("  {}\n", sanitize(line)));
        }
        for hint in error.hints() {
            text.push_str(&format!("{} {}\n", style().cyan().apply_to("hint:"), sanitize(hint)));
        }
        if let Some(manifest) = error.cure() {
            for line in manifest.lines() {
                text.push_str(&format!("  {}\n", sanitize(line)));
            }
        }
        to_stderr(&text);
    }

    /// Writes a line of data to standard output.
    ///
    /// # Errors
    /// [`ErrorKind::StdoutClosed`] when nobody reads it any more.
    pub fn println(&self, line: &str) -> Result<()> {
        write_stdout(&format!("{}\n", sanitize(line)))
    }

    /// Writes a document to standard output.
    ///
    /// # Errors
    /// [`ErrorKind::StdoutClosed`] when nobody reads it any more.
    pub fn document<T: Serialize>(&self, format: Format, document: &T) -> Result<()> {
        match format {
            // The documents are ours, with text keys and finite numbers: they always convert.
            // The command line lets the forms of a table through only where there is one.
            Format::Json | Format::Wide | Format::Name => {
                write_stdout(&format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default()))
            }
            Format::Yaml => write_stdout(&crate::util::yaml::to_string(document)),
        }
    }

    /// The last word of one of several backups.
    pub fn finish_line(&self, word: &str) {
        match &self.line {
            Some(line) if !self.quiet => line.finish_line(word),
            _ => {}
        }
    }
}

impl Events for Ui {
    fn status(&self, line: &str) {
        match &self.line {
            Some(own) => own.status(line),
            None if !self.quiet => to_stderr(&format!("{}\n", sanitize(line))),
            None => {}
        }
    }

    /// The warning is also kept for the document.
    fn warn(&self, warning: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning.to_owned());
        if !self.quiet {
            let line = format!("{} {}\n", style().yellow().bold().apply_to("warning:"), sanitize(warning));
            match &self.line {
                Some(own) => own.print(&line),
                None => to_stderr(&line),
            }
        }
    }

    fn copy_progress(&self, size: Option<u64>) -> Box<dyn Progress> {
        Box::new(TerminalProgress::of_copy(self, size))
    }

    fn check_progress(&self, size: u64) -> Box<dyn Progress> {
        Box::new(TerminalProgress::of_check(self, size))
    }
}

fn write_stdout(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(ErrorKind::StdoutClosed, "standard output was closed"),
        _ => Error::failed(format!("cannot write to standard output: {error}")),
    })
}

/// Colours only where they are seen; `console` honours NO_COLOR and CLICOLOR.
fn style() -> Style {
    Style::new().for_stderr()
}

fn to_stderr(text: &str) {
    // Without a standard error there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Shows the cursor again, whatever a prompt did to it.
pub fn restore_terminal() {
    select_prompt::restore();
    let term = Term::stderr();
    if term.is_term() {
        let _ = term.show_cursor();
    }
}
