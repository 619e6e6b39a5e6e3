//! The error that users see: one sentence, hints that say what to do next, and a kind that decides the exit code.
//!
//! The errors of libraries are translated where they occur, because only that code knows what was done and on what.
//! Nothing above it prints a `Debug` form or a chain of causes.

use std::fmt;

/// The class of a failure; scripts see it as the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It was tried and failed: API unreachable, copy broken after retries, not enough space (exit 1).
    Failed,
    /// The command line names something that does not exist, or its flags are invalid (exit 2).
    Usage,
    /// The cluster refuses: authentication, RBAC, admission, Pod Security, quota (exit 3).
    NotAllowed,
    /// The file is complete and bad, or a member is (exit 4).
    BadFile,
    /// There is no etcd to back up here (exit 5).
    NoEtcd,
    /// A signal ended the run, or the user left a prompt (exit 128 + signal number).
    Interrupted(Signal),
    /// The reader of standard output went away (exit 141, as a process killed by SIGPIPE).
    StdoutClosed,
}

/// A signal that ends a run in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C, or Esc in a prompt.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal went away.
    Hangup,
}

impl ErrorKind {
    /// Returns the exit code of this kind; docs/scripting.md lists them.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed => 1,
            ErrorKind::Usage => 2,
            ErrorKind::NotAllowed => 3,
            ErrorKind::BadFile => 4,
            ErrorKind::NoEtcd => 5,
            ErrorKind::Interrupted(Signal::Interrupt) => 130,
            ErrorKind::Interrupted(Signal::Terminate) => 143,
            ErrorKind::Interrupted(Signal::Hangup) => 129,
            ErrorKind::StdoutClosed => 141,
        }
    }
}

/// A failure as it is shown: a sentence, hints, and perhaps a manifest that grants what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    hints: Vec<String>,
    manifest: Option<String>,
}

/// The result of everything that can fail in front of a user.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates a failure of the given kind. `message` is a sentence without a full stop at its end.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), details: Vec::new(), hints: Vec::new(), manifest: None }
    }

    /// Creates an error of the kind [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Failed, message)
    }

    /// Creates an error of the kind [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Usage, message)
    }

    /// Creates an error of the kind [`ErrorKind::NotAllowed`].
    pub fn not_allowed(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotAllowed, message)
    }

    /// Adds a line below the sentence.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds YAML that an administrator can apply; it is printed below the last hint.
    #[must_use]
    pub fn manifest(mut self, yaml: impl Into<String>) -> Self {
        self.manifest = Some(yaml.into());
        self
    }

    /// Puts what was being done in front of the sentence.
    #[must_use]
    pub fn context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Returns the class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the sentence, without the hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the lines below the sentence.
    pub fn details(&self) -> &[String] {
        &self.details
    }

    /// Returns what to do next, in the order in which it is best tried.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Returns the YAML that grants the missing permission.
    pub fn grant_manifest(&self) -> Option<&str> {
        self.manifest.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_give_the_codes_that_a_shell_gives() {
        assert_eq!(ErrorKind::Interrupted(Signal::Interrupt).exit_code(), 128 + 2);
        assert_eq!(ErrorKind::Interrupted(Signal::Terminate).exit_code(), 128 + 15);
        assert_eq!(ErrorKind::Interrupted(Signal::Hangup).exit_code(), 128 + 1);
        assert_eq!(ErrorKind::StdoutClosed.exit_code(), 128 + 13);
    }
}
