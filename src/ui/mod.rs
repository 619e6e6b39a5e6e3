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
pub use progress::Progress;
pub use select_prompt::{SelectItem, pick};
pub use table::Table;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use console::{Style, Term};
use indicatif::{DecimalBytes, HumanBytes};
use serde::Serialize;

use crate::cli::{OutputArgs, OutputFormat};
use crate::error::{Error, ErrorKind, Result};
use sanitize::sanitize;

/// Talks to the person and writes the data.
#[derive(Debug, Clone)]
pub struct Ui {
    quiet: bool,
    warnings: Arc<Mutex<Vec<String>>>,
    /// One of several backups has a line of its own and keeps its document.
    lane: Option<Arc<multi_progress::ContextLine>>,
    typed: password_prompt::Typed,
}

impl Ui {
    /// A voice as the flags ask for it.
    pub fn new(args: &OutputArgs) -> Self {
        Ui { quiet: args.quiet, warnings: Arc::default(), lane: None, typed: password_prompt::Typed::default() }
    }

    /// Nothing but errors is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A person sits in front: both the questions can be seen and the answers typed.
    pub fn is_interactive(&self) -> bool {
        self.lane.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// A line of talk.
    pub fn status(&self, line: &str) {
        if let Some(lane) = &self.lane {
            return lane.status(line);
        }
        if !self.quiet {
            to_stderr(&format!("{}\n", sanitize(line)));
        }
    }

    /// The start of a line that [`Ui::say`] ends.
    pub fn status_start(&self, start: &str) {
        if let Some(lane) = &self.lane {
            return lane.status(start);
        }
        if !self.quiet {
            to_stderr(&sanitize(start));
        }
    }

    /// Something that the person should know and that stops nothing. It is also kept for the document.
    pub fn warn(&self, warning: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning.to_owned());
        if !self.quiet {
            let line = format!("{} {}\n", style().yellow().bold().apply_to("warning:"), sanitize(warning));
            match &self.lane {
                Some(lane) => lane.print(&line),
                None => to_stderr(&line),
            }
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
    pub fn document<T: Serialize>(&self, format: OutputFormat, document: &T) -> Result<()> {
        if let Some(lane) = &self.lane {
            lane.keep(serde_json::to_value(document).unwrap_or_default());
            return Ok(());
        }
        match format {
            // The documents are ours, with text keys and finite numbers: they always convert.
            // The command line lets the forms of a table through only where there is one.
            OutputFormat::Json | OutputFormat::Wide | OutputFormat::Name => {
                write_stdout(&format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default()))
            }
            OutputFormat::Yaml => write_stdout(&crate::util::yaml::to_string(document)),
        }
    }
}

impl Ui {
    /// The document that one of several backups kept.
    pub fn kept_document(&self) -> Option<serde_json::Value> {
        self.lane.as_ref()?.document()
    }

    /// The last word of one of several backups.
    pub fn finish_line(&self, word: &str) {
        match &self.lane {
            Some(lane) if !self.quiet => lane.finish_line(word),
            _ => {}
        }
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

/// A size as etcd's own tools print it: `1.4 GB`.
pub fn decimal_bytes(bytes: u64) -> String {
    shorter(&DecimalBytes(bytes).to_string())
}

/// A size as copies are measured: `1.30 GiB`.
pub fn binary_bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `1.40 GB` as `1.4 GB`.
fn shorter(text: &str) -> String {
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number: f64 = number.parse().unwrap_or_default();
            format!("{number:.1} {unit}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_the_tools_around() {
        assert_eq!(decimal_bytes(1_402_345_678), "1.4 GB");
        assert_eq!(decimal_bytes(512), "512 B");
        assert_eq!(binary_bytes(1_395_864_371), "1.30 GiB");
    }
}
