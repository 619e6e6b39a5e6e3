//! The bucket `key`: all revisions of all keys.

pub(crate) mod key_index;
pub(crate) mod parallel;
pub(crate) mod segment;
