//! The target of the copied bytes.

use std::fs::File;
use std::io::{self, Write};

/// A temporary file or standard output, to write the snapshot to.
#[derive(Debug)]
pub enum OutputWriter {
    File(File),
    Stdout(io::Stdout),
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            OutputWriter::File(file) => file.write(bytes),
            OutputWriter::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            OutputWriter::File(file) => file.flush(),
            OutputWriter::Stdout(stdout) => stdout.flush(),
        }
    }
}
