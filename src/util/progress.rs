//! How a long operation tells its caller how far it is. The terminal implements this trait, so that a copy or a check
//! does not know what a terminal is.

/// The progress of one copy or one check. The methods are called from any thread, often, and return at once.
pub trait Progress: Send + Sync {
    /// Sets the expected number of bytes, which replaces an estimate.
    fn set_length(&self, bytes: u64);

    /// Sets how many bytes are done. The length grows where the estimate was too small.
    fn set_position(&self, bytes: u64);

    /// Sets how many bytes are done, at most the length: a check reads some parts twice.
    fn set_position_clamped(&self, bytes: u64);

    /// Ends it with success: the length becomes what is done.
    fn finish(&self);

    /// Ends it where it is.
    fn abandon(&self);
}

/// Shows nothing.
#[derive(Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn set_length(&self, _: u64) {}
    fn set_position(&self, _: u64) {}
    fn set_position_clamped(&self, _: u64) {}
    fn finish(&self) {}
    fn abandon(&self) {}
}
