//! Turns signals and panics into errors, so that the program always cleans up.

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
    /// Starts to listen. From now on a signal does not end the process.
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
            for (kind, reported) in all {
                // A parent that ignores a signal, such as nohup, wants the program to ignore it too.
                if !is_ignored(kind.as_raw_value()) {
                    let stream =
                        signal(kind).map_err(|error| Error::failed(format!("cannot listen for signals: {error}")))?;
                    streams.push((stream, reported));
                }
            }
            Ok(Signals { streams })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// Waits for a signal.
    pub(super) async fn next_signal(&mut self) -> Signal {
        #[cfg(unix)]
        {
            std::future::poll_fn(|context| {
                for (stream, reported) in &mut self.streams {
                    if stream.poll_recv(context).is_ready() {
                        return Poll::Ready(*reported);
                    }
                }
                Poll::Pending
            })
            .await
        }
        #[cfg(not(unix))]
        {
            // Fails if this process cannot receive Ctrl-C.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Signal::Interrupt
        }
    }

    /// Runs `work` until it ends, panics or a signal arrives. Then it drops `work` and everything that `work` holds.
    ///
    /// # Errors
    /// The error of `work`, or the one for the signal or the panic.
    pub(super) async fn run_until_signal<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            signal = self.next_signal() => Err(interruption_error(signal)),
            outcome = work => outcome.unwrap_or_else(|_| Err(panic_error())),
        }
    }
}

/// Reports whether a signal was ignored when this process started. Only Linux provides that (proc(5), `SigIgn`).
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit)).is_some_and(|bit| mask & bit != 0)
}

/// Returns the error of a run that a signal ended.
pub(super) fn interruption_error(signal: Signal) -> Error {
    let name = match signal {
        Signal::Interrupt => "interrupted",
        Signal::Terminate => "terminated by SIGTERM",
        Signal::Hangup => "the terminal was closed (SIGHUP)",
    };
    Error::new(ErrorKind::Interrupted(signal), name)
}

/// Returns the error of a run that a panic ended.
pub(super) fn panic_error() -> Error {
    Error::failed("internal error: the program panicked; the snapshot was not verified")
        .hint("report it with the output of the same command with -v=4")
}

/// Sends the message of a panic to the log, because the user sees [`panic_error`].
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct SetOnDrop<'a>(&'a std::cell::Cell<bool>);

    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_drops_the_work() {
        let released = std::cell::Cell::new(false);
        let mut signals = Signals::listen().expect("it can listen");
        let work = async {
            let _guard = SetOnDrop(&released);
            tokio::task::yield_now().await;
            panic!("inner message");
        };
        let error = signals.run_until_signal::<()>(work).await.expect_err("it panicked");
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(
            error.message().contains("the snapshot was not verified") && !error.message().contains("inner message")
        );
        assert!(released.get());
    }
}
