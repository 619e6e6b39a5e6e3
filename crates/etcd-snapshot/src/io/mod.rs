//! Positioned reads of a file, and how the threads that read it share it.

pub(crate) mod read_at;
pub(crate) mod read_batch;
pub(crate) mod scheduling;
