//! The output of a long operation while it runs. The user interface implements this trait, so that transports and
//! verification do not print.

use super::progress::Progress;

/// Receives status lines, warnings and progress.
pub trait Events: Sync {
    /// Reports the step that begins now.
    fn status(&self, line: &str);

    /// Reports a problem that does not stop the operation.
    fn warn(&self, warning: &str);

    /// Starts the progress of a copy; `size` is an estimate in bytes.
    fn copy_progress(&self, size: Option<u64>) -> Box<dyn Progress>;

    /// Starts the progress of a check of `size` bytes.
    fn check_progress(&self, size: u64) -> Box<dyn Progress>;
}

/// Discards everything.
#[cfg(test)]
pub struct NoEvents;

#[cfg(test)]
impl Events for NoEvents {
    fn status(&self, _: &str) {}

    fn warn(&self, _: &str) {}

    fn copy_progress(&self, _: Option<u64>) -> Box<dyn Progress> {
        Box::new(super::progress::NoProgress)
    }

    fn check_progress(&self, _: u64) -> Box<dyn Progress> {
        Box::new(super::progress::NoProgress)
    }
}
