//! Where a backup is kept: the local file today.

pub mod local_file;
