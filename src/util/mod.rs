//! Small modules that every room may use and that use no room.

pub mod byte_size;
pub mod disk_space;
pub mod events;
pub mod progress;
pub mod quantity;
pub mod root_cause;
pub mod yaml;
