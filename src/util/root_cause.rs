//! The chain of causes behind an error. The innermost one says why; the others only say that there was one.

use std::error::Error;

/// Returns `error` and its causes, the innermost last.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| next_cause(*error))
}

/// Returns the direct cause. An `io::Error` that wraps another error returns that one's cause as its own and skips the
/// wrapped error itself, which is where rustls hides, sometimes two wrappers deep. Here the wrapped error counts.
fn next_cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Returns the innermost cause of `error`.
pub fn root_cause<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_inside_of_io_errors_is_found() {
        let innermost = "x".parse::<u8>().expect_err("it is not a number");
        let error = io::Error::other(io::Error::other(innermost.clone()));
        assert_eq!(root_cause(&error).to_string(), innermost.to_string());
        assert!(causes(&error).any(|cause| cause.is::<std::num::ParseIntError>()));
        let plain = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(root_cause(&plain).to_string(), plain.to_string());
    }
}
