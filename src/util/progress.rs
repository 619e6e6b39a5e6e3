//! The progress of a long operation. The user interface implements this trait, so that a copy or a check does not
//! depend on a terminal.

/// The progress of one copy or one check. The methods are called from any thread, often, and return at once.
pub trait Progress: Send + Sync {
    /// Sets the expected number of bytes, which replaces an estimate.
    fn set_length(&self, bytes: u64);

    /// Sets how many bytes are done. The length grows where the estimate was too small.
    fn set_position(&self, bytes: u64);

    /// Sets how many bytes are done, at most the length: a check reads some parts twice.
    fn set_position_clamped(&self, bytes: u64);

    /// Ends it with success: the length becomes the position.
    fn finish(&self);

    /// Ends it at its position, without success.
    fn abandon(&self);
}

/// Discards everything.
#[derive(Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn set_length(&self, _: u64) {}
    fn set_position(&self, _: u64) {}
    fn set_position_clamped(&self, _: u64) {}
    fn finish(&self) {}
    fn abandon(&self) {}
}
