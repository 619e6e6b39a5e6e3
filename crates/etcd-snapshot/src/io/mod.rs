//! Positioned reads of a file, and how the threads that read it share it.

mod read_at;
mod read_batch;
mod scheduling;

pub use read_at::ReadAt;
pub(crate) use read_batch::{Extent, ReadBatch};
pub use scheduling::ProgressFn;
pub(crate) use scheduling::{ReadCoordinator, ReadScheduler};
