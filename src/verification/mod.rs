//! Does the file match the members?

pub mod comparison;
pub mod hash_query;
pub mod integrity;
