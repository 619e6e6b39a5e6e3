//! Ending in good order: signals and panics become errors, so that the clean-up behind them always runs.

use std::future::Future;
use std::panic::AssertUnwindSafe;
#[cfg(unix)]
use std::task::Poll;

use futures::FutureExt;

use crate::error::{Error, ErrorKind, Result, Signal};

/// The signals that end a run.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    streams: Vec<(tokio::signal::unix::Signal, Signal)>,
}

impl Signals {
    /// Listens from now on; the default of the system, to end at once, no longer holds.
    pub(super) fn listen() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let all = [
                (SignalKind::interrupt(), Signal::Interrupt),
                (SignalKind::terminate(), Signal::Terminate),
                (SignalKind::hangup(), Signal::Hangup),
            ];
            let mut streams = Vec::new();
            for (kind, what) in all {
                // Whoever started this with a signal ignored, as nohup does, wants it to go on.
                if !is_ignored(kind.as_raw_value()) {
                    let stream =
                        signal(kind).map_err(|error| Error::failed(format!("cannot listen for signals: {error}")))?;
                    streams.push((stream, what));
                }
            }
            Ok(Signals { streams })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        {
            std::future::poll_fn(|context| {
                for (stream, what) in &mut self.streams {
                    if stream.poll_recv(context).is_ready() {
                        return Poll::Ready(*what);
                    }
                }
                Poll::Pending
            })
            .await
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

/// Whether this process was started with a signal ignored; only Linux tells (proc(5), `SigIgn`).
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit)).is_some_and(|bit| mask & bit != 0)
}

pub(super) fn interrupted(signal: Signal) -> Error {
    let name = match signal {
        Signal::Interrupt => "interrupted",
        Signal::Terminate => "terminated by SIGTERM",
        Signal::Hangup => "the terminal was closed (SIGHUP)",
    };
    Error::new(ErrorKind::Interrupted(signal), name)
}

pub(super) fn internal() -> Error {
    Error::failed("internal error: the program panicked; the snapshot was not verified")
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
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("the snapshot was not verified") && !error.message().contains("inner words"));
        assert!(released.get());
    }
}
