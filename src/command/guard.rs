//! Ending in good order: signals and panics become errors, so that the clean-up behind them always runs.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::error::{Error, Kind, Result, Signal};

/// The signals that end a run.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    streams: [(tokio::signal::unix::Signal, Signal); 3],
}

impl Signals {
    /// Listens from now on; the default of the system, to end at once, no longer holds.
    pub(super) fn listen() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let stream = |kind: SignalKind| {
                signal(kind).map_err(|error| Error::failed(format!("cannot listen for signals: {error}")))
            };
            Ok(Signals {
                streams: [
                    (stream(SignalKind::interrupt())?, Signal::Interrupt),
                    (stream(SignalKind::terminate())?, Signal::Terminate),
                    (stream(SignalKind::hangup())?, Signal::Hangup),
                ],
            })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        {
            let [(interrupt, a), (terminate, b), (hangup, c)] = &mut self.streams;
            tokio::select! {
                _ = interrupt.recv() => *a,
                _ = terminate.recv() => *b,
                _ = hangup.recv() => *c,
            }
        }
        #[cfg(not(unix))]
        {
            // An error means that no Ctrl-C can come.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Signal::Interrupt
        }
    }

    /// Runs `work` until it ends, panics or a signal comes; then `work` is dropped, and with it all that it held.
    pub(super) async fn interrupt<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            signal = self.next() => Err(interrupted(signal)),
            outcome = work => outcome.unwrap_or_else(|_| Err(internal())),
        }
    }
}

pub(super) fn interrupted(signal: Signal) -> Error {
    let name = match signal {
        Signal::Interrupt => "interrupted",
        Signal::Terminate => "terminated by SIGTERM",
        Signal::Hangup => "the terminal was closed (SIGHUP)",
    };
    Error::new(Kind::Interrupted(signal), name)
}

pub(super) fn internal() -> Error {
    Error::failed("a mistake in this program stopped it; nothing was proven")
        .hint("please report it with the output of the same command and -v=4")
}

/// A panic is reported as an error like any other; its message is shown with `-v` only.
pub(super) fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held<'a>(&'a std::cell::Cell<bool>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_what_was_held_is_let_go() {
        let released = std::cell::Cell::new(false);
        let mut signals = Signals::listen().expect("signals can be heard");
        let work = async {
            let _held = Held(&released);
            tokio::task::yield_now().await;
            panic!("inner words");
        };
        let error = signals.interrupt::<()>(work).await.expect_err("it panicked");
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.message().contains("nothing was proven") && !error.message().contains("inner words"));
        assert!(released.get());
    }
}
