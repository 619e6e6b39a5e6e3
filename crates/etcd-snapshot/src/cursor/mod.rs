//! Trees of pages, in the order of their keys.

pub(crate) mod branch;
pub(crate) mod leaf;
pub(crate) mod walk;
