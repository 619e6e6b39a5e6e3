//! `kubectl etcd-backup`: takes an etcd snapshot of a Kubernetes cluster, downloads it and verifies it.
//!
//! The library exists for the binary only, and its interface is not stable. docs/architecture.md describes the modules
//! and their import rule.

mod cli;
mod commands;
mod error;
mod etcd;
mod k8s;
mod logging;
mod signals;
mod snapshot;
mod storage;
#[cfg(test)]
mod test_support;
mod ui;
mod util;
mod verification;

use std::process::ExitCode;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let invocation = match cli::parse_args() {
        Ok(invocation) => invocation,
        Err(error) => error.exit(),
    };
    let ui = ui::Ui::new(invocation.output);
    logging::start(invocation.verbosity);
    signals::log_panics();
    // kube uses the provider that is installed. It fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread runs all asynchronous tasks: a connection and its reader then wake each other without the kernel. That
    // would cost more than the bytes on a busy machine with two cores. Hashing and writing have a thread of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&error::Error::failed(format!("cannot start the asynchronous runtime: {error}")));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(commands::run(&invocation.command, &ui));
    // Does not wait for a prompt that is still open, because it blocks its thread.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
