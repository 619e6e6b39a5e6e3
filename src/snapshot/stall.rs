//! The time without a byte after which a copy ends, and the pauses between its retries.

use std::time::{Duration, Instant};

use crate::error::Error;

const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// What to do after a stall in the middle of a copy.
pub(super) const RETRY_HINT: &str = "run the backup again; --stall-timeout sets the limit";

/// Measures the time since the last byte.
#[derive(Debug)]
pub(super) struct StallTimer {
    limit: Duration,
    last_byte: Instant,
    pause: Duration,
}

impl StallTimer {
    /// Starts with `--stall-timeout` as the limit.
    pub(super) fn new(limit: Duration) -> Self {
        StallTimer { limit, last_byte: Instant::now(), pause: FIRST_PAUSE }
    }

    /// Starts again, because bytes arrived.
    pub(super) fn reset(&mut self) {
        *self = StallTimer::new(self.limit);
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns how much of the limit is left.
    pub(super) fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.last_byte.elapsed())
    }

    pub(super) fn is_expired(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns the pause before the next retry, each twice as long as the one before.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Returns the error for a copy that the limit ends. `what` stalled, `received` bytes came from `source` before.
    pub(super) fn error(&self, what: &str, source: &str, received: u64, cause: Option<&str>) -> Error {
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        let limit = self.limit.as_secs_f32();
        Error::failed(format!("{what}: no byte from {source} for {limit}s, after {received} bytes{cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_a_byte_starts_again() {
        let mut timer = StallTimer::new(Duration::from_secs(60));
        let pauses: Vec<u128> = (0..6).map(|_| timer.next_pause().as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1200, 2400, 4000, 4000]);
        timer.reset();
        assert_eq!(timer.next_pause(), FIRST_PAUSE);
    }

    #[test]
    fn the_limit_counts_from_the_last_byte() {
        let mut timer = StallTimer::new(Duration::from_millis(20));
        assert!(!timer.is_expired());
        std::thread::sleep(Duration::from_millis(30));
        assert!(timer.is_expired() && timer.remaining().is_zero());
        timer.last_byte = Instant::now() + Duration::from_secs(1);
        assert!(!timer.is_expired());
    }

    #[test]
    fn the_error_names_source_limit_position_and_cause() {
        let timer = StallTimer::new(Duration::from_millis(2500));
        assert_eq!(
            timer.error("the copy stalled", "node cp1", 7, Some("no response")).message(),
            "the copy stalled: no byte from node cp1 for 2.5s, after 7 bytes: no response"
        );
        assert!(timer.error("x", "y", 7, None).message().ends_with("after 7 bytes"));
    }
}
