//! Where a backup is kept: a local file.

mod file_system;
pub mod leftover;
pub mod local_file;
pub mod output_writer;
mod rename;
mod temporary;
