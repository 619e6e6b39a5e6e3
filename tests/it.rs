//! Tests through the built binary. One test binary with a module for each subject: one link step, one harness.
#![allow(clippy::unwrap_used)]

#[path = "it/cli.rs"]
mod cli;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/copy.rs"]
mod copy;
#[path = "it/db.rs"]
mod db;
#[path = "it/ending.rs"]
mod ending;
#[path = "it/mutation.rs"]
mod mutation;
#[path = "it/readme.rs"]
mod readme;
#[allow(dead_code)]
mod support;
