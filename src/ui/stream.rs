//! Writes to standard output and standard error.

use std::io::{self, Write};

use console::Style;

use crate::error::{Error, ErrorKind, Result};

/// Writes data to standard output.
///
/// # Errors
/// [`ErrorKind::StdoutClosed`] if the reader closed it.
pub(super) fn write_stdout(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(ErrorKind::StdoutClosed, "standard output was closed"),
        _ => Error::failed(format!("cannot write to standard output: {error}")),
    })
}

/// Writes a message to standard error.
pub(super) fn write_stderr(text: &str) {
    // A closed standard error leaves no way to report it, and is not a reason to stop a backup.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Returns a style that has colours only on a terminal; `console` honours NO_COLOR and CLICOLOR.
pub(super) fn stderr_style() -> Style {
    Style::new().for_stderr()
}
