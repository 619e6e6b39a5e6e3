//! Small things that no room owns and every room may use.

pub mod disk_space;
pub mod quantity;
pub mod yaml;
