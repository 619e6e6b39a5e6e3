//! Small helpers that every other module may import and that import none of them.

pub mod byte_size;
pub mod disk_space;
pub mod events;
pub mod progress;
pub mod quantity;
pub mod rfc3339;
pub mod root_cause;
pub mod yaml;
