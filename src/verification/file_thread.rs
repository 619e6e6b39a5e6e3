//! Runs long work on a file outside the asynchronous runtime.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::util::progress::Progress;

/// Runs `work` on a file in a thread of its own. Dropping the future stops the work.
///
/// # Errors
/// The file cannot be opened again, or the work panicked.
pub(super) async fn run_on_file<T: Send + 'static>(
    file: &File,
    progress: Box<dyn Progress>,
    work: impl FnOnce(&File, etcd_snapshot::ProgressFn<'_>) -> T + Send + 'static,
) -> Result<T> {
    let file = file.try_clone().map_err(|error| Error::failed(format!("cannot read the snapshot: {error}")))?;
    let stop_on_drop = StopOnDrop::default();
    let stop = Arc::clone(&stop_on_drop.0);
    let thread = tokio::task::spawn_blocking(move || {
        let done = AtomicU64::new(0);
        let outcome = work(&file, &|bytes| {
            progress.set_position_clamped(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
            !stop.load(Ordering::Relaxed)
        });
        progress.finish();
        outcome
    });
    thread.await.map_err(|_| Error::failed("cannot check the snapshot: the checking thread panicked"))
}

/// A thread cannot be cancelled like a future, so this tells it to stop.
#[derive(Debug, Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::util::progress::NoProgress;

    #[tokio::test]
    async fn dropping_the_future_stops_the_work() {
        let file = tempfile::tempfile().expect("a file");
        let (ended, end) = std::sync::mpsc::channel();
        let work = run_on_file(&file, Box::new(NoProgress), move |_, watch| {
            let start = Instant::now();
            while watch(1) && start.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.send(start.elapsed()).expect("the test waits");
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), work).await.is_err());
        let took = end.recv_timeout(Duration::from_secs(10)).expect("it ends");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[tokio::test]
    async fn a_panic_of_the_work_becomes_an_error() {
        let file = tempfile::tempfile().expect("a file");
        let work = run_on_file(&file, Box::new(NoProgress), |_, _| panic!("in the thread"));
        assert!(work.await.expect_err("it panicked").message().starts_with("cannot check the snapshot"));
    }
}
