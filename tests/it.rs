//! Tests through the built binary. One test binary with a module for each subject: one link step, one harness.
#![allow(clippy::unwrap_used)]

#[path = "it/cli.rs"]
mod cli;
#[path = "it/readme.rs"]
mod readme;
