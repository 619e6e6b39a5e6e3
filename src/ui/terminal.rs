//! The settings of the terminal, which prompts change.
//!
//! A signal can end the run while a prompt waits for input in raw mode.

use std::sync::{Mutex, PoisonError};

use console::Term;

#[cfg(unix)]
type SavedSettings = Option<rustix::termios::Termios>;
#[cfg(not(unix))]
type SavedSettings = Option<()>;

/// The settings from before the prompt.
static SAVED: Mutex<SavedSettings> = Mutex::new(None);

#[cfg(unix)]
pub(super) fn save_terminal() {
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = rustix::termios::tcgetattr(std::io::stdin()).ok();
}

#[cfg(not(unix))]
pub(super) fn save_terminal() {}

#[cfg(unix)]
fn restore_settings() {
    if let Some(saved) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Fails if the terminal was closed.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &saved);
    }
}

#[cfg(not(unix))]
fn restore_settings() {
    let _ = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// Restores the settings from before a prompt, and shows the cursor.
pub fn restore_terminal() {
    restore_settings();
    let term = Term::stderr();
    if term.is_term() {
        let _ = term.show_cursor();
    }
}
