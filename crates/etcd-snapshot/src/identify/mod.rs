//! What kind of file it is.

mod file_kind;
mod foreign;

pub use file_kind::FileKind;
pub(crate) use file_kind::{Database, Identity, identify};
