//! Tests through the built binary. One test binary with a module for each subject: one link step, one harness.
// A test may say what it counted, or why it was skipped.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "it/buckets.rs"]
mod buckets;
#[path = "it/choice.rs"]
mod choice;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/copy.rs"]
mod copy;
#[path = "it/damage.rs"]
mod damage;
#[path = "it/db.rs"]
mod db;
#[path = "it/direct.rs"]
mod direct;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/dry_run.rs"]
mod dry_run;
#[path = "it/ending.rs"]
mod ending;
#[path = "it/exec.rs"]
mod exec;
#[path = "it/failover.rs"]
mod failover;
#[path = "it/large_database.rs"]
mod large_database;
#[path = "it/members.rs"]
mod members;
#[path = "it/mutation.rs"]
mod mutation;
#[path = "it/proof.rs"]
mod proof;
#[path = "it/rbac.rs"]
mod rbac;
#[path = "it/readme.rs"]
mod readme;
#[path = "it/several.rs"]
mod several;
#[allow(dead_code)]
mod support;
#[path = "it/terminal.rs"]
mod terminal;
#[path = "it/trust.rs"]
mod trust;
#[path = "it/verify.rs"]
mod verify;
