//! Tests through the built binary. One test binary with a module for each subject: one link step, one harness.
// A test may say what it counted, or why it was skipped.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "it/api_server_tls.rs"]
mod api_server_tls;
#[path = "it/architecture.rs"]
mod architecture;
#[path = "it/buckets.rs"]
mod buckets;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/cluster.rs"]
mod cluster;
#[path = "it/damage.rs"]
mod damage;
#[path = "it/db.rs"]
mod db;
#[path = "it/destination.rs"]
mod destination;
#[path = "it/direct.rs"]
mod direct;
#[path = "it/dry_run.rs"]
mod dry_run;
#[path = "it/exec.rs"]
mod exec;
#[path = "it/failover.rs"]
mod failover;
#[path = "it/large_database.rs"]
mod large_database;
#[path = "it/leftover.rs"]
mod leftover;
#[path = "it/local_disk.rs"]
mod local_disk;
#[path = "it/members.rs"]
mod members;
#[path = "it/multi_context.rs"]
mod multi_context;
#[path = "it/mutation.rs"]
mod mutation;
#[path = "it/node_transport.rs"]
mod node_transport;
#[path = "it/output.rs"]
mod output;
#[path = "it/rbac.rs"]
mod rbac;
#[path = "it/reference.rs"]
mod reference;
#[path = "it/shutdown.rs"]
mod shutdown;
#[allow(dead_code)]
mod support;
#[path = "it/terminal.rs"]
mod terminal;
#[path = "it/transport_selection.rs"]
mod transport_selection;
#[path = "it/verification.rs"]
mod verification;
#[path = "it/verify.rs"]
mod verify;
