//! What is wrong with a file, and why a file could not be read: a bad file is a result, not an error.

use std::{fmt, io};

/// The number of problems after which a check ends.
pub const MAX_PROBLEMS: usize = 10;

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong and with which part: one sentence without a full stop.
    pub what: String,
    /// The byte offset in the file, if the problem has a place.
    pub offset: Option<u64>,
    /// The likely cause, or what to do.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.offset.map_or(Ok(()), |offset| write!(f, " (at byte {offset})"))
    }
}

/// Why a check did not finish. It says nothing about the contents of the file.
#[derive(Debug)]
pub enum ReadFailure {
    /// Reading failed. `UnexpectedEof` means that the file became shorter during the check.
    Io(io::Error),
    /// The [`ProgressFn`](crate::ProgressFn) returned `false`.
    Cancelled,
    /// Something wrote to the file while it was read, for example the member whose database it is.
    Changed,
}

impl ReadFailure {
    /// Of the failures of two threads, returns the cause: one thread is cancelled because the other one failed.
    pub(crate) fn or(self, other: ReadFailure) -> ReadFailure {
        if matches!(self, ReadFailure::Cancelled) { other } else { self }
    }
}

impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFailure::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the file became shorter while it was read")
            }
            ReadFailure::Io(error) => write!(f, "cannot read the file: {error}"),
            ReadFailure::Changed => f.write_str("the file was changed while it was read"),
            ReadFailure::Cancelled => f.write_str("the check was cancelled"),
        }
    }
}

impl std::error::Error for ReadFailure {}

impl From<io::Error> for ReadFailure {
    fn from(error: io::Error) -> Self {
        ReadFailure::Io(error)
    }
}
