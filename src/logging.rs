//! `-v`: what happens inside, on standard error, for those who look for a cause.
//!
//! Only this program's own events are shown. Those of the libraries below could show headers, and with them tokens.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Levels as kubectl's users know them: 0 is silent, 6 shows requests.
pub(super) fn start(verbosity: u8) {
    let level = match verbosity {
        0 | 1 => return,
        2 | 3 => Level::INFO,
        4 | 5 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    // A second start, as in a test of the library, keeps the first.
    let _ = tracing_subscriber::registry().with(lines).with(own).try_init();
}
