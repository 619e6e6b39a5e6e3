//! The log of `-v` on standard error.
//!
//! It shows the events of this program only. The libraries log headers, and tokens are in headers.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log. The levels are those of kubectl: 0 logs nothing, 6 logs requests.
pub(super) fn start(verbosity: u8) {
    let level = match verbosity {
        0 | 1 => return,
        2 | 3 => Level::INFO,
        4 | 5 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    // Fails if a log was started before, as in tests; that one stays.
    let _ = tracing_subscriber::registry().with(lines).with(own).try_init();
}
