//! Pages of a bbolt file.

pub(crate) mod layout;
pub(crate) mod reader;
