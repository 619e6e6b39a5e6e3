//! What the deletions of a Job and of a file in a container share: time limits, and a guard against a deletion that is
//! interrupted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait until something is gone before reporting that it still exists.
pub(super) const REMOVAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an API server that starts may refuse what it allowed before.
pub(super) const API_SERVER_START: Duration = Duration::from_secs(5);

/// Takes a value out of its slot for the time of a deletion. The value goes back into the slot on drop, unless the
/// deletion has ended and set it to `None`.
pub(super) struct TakeGuard<'h, T> {
    slot: &'h Mutex<Option<T>>,
    pub(super) value: Option<T>,
}

impl<'h, T> TakeGuard<'h, T> {
    pub(super) fn new(slot: &'h Mutex<Option<T>>) -> Self {
        let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        TakeGuard { slot, value }
    }
}

impl<T> Drop for TakeGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_deletion_forgets_nothing() {
        let slot = Mutex::new(Some("job"));
        drop(TakeGuard::new(&slot));
        assert_eq!(*slot.lock().expect("no panic"), Some("job"));
        TakeGuard::new(&slot).value = None;
        assert_eq!(*slot.lock().expect("no panic"), None);
    }
}
