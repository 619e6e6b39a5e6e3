//! Where a backup is kept: a local file.

pub mod local_file;
pub mod output_writer;
