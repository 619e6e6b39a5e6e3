//! Trees of pages, read in the order of their keys.

mod branch;
mod leaf;
mod visitor;
mod walk;

pub(crate) use branch::{Branch, BranchCursor};
pub(crate) use leaf::visit_leaf;
pub(crate) use visitor::TreeVisitor;
pub(crate) use walk::{BucketRoot, WalkState, walk_bucket};
