//! `kubectl etcd-backup`: takes an etcd snapshot of a Kubernetes cluster, downloads it and verifies it.
//!
//! The library exists for the binary and promises no stability. Its modules are rooms, and imports point one way: see
//! docs/architecture.md.

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
    signals::quiet_panics();
    // The client library picks its TLS provider by this; a second install would only mean that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread for all that waits: a connection and the reader of its bytes then wake each other without the kernel,
    // which on a busy two-core machine costs more than the bytes do. Hashing and writing have a thread of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&error::Error::failed(format!("cannot start: {error}")));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(commands::run(&invocation.command, &ui));
    // A prompt that nobody will answer any more must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
