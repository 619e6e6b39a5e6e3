//! The prompt for a password.

use console::Term;

use super::terminal::{restore_terminal, save_terminal};
use crate::error::{Error, ErrorKind, Result, Signal};

/// Prompts for a password, and does not echo it.
///
/// # Errors
/// [`ErrorKind::Interrupted`] if the input is empty.
pub async fn prompt_password(question: &str) -> Result<String> {
    let question = question.to_owned();
    save_terminal();
    // The prompt blocks its thread, and a signal must still be noticed.
    let answer = tokio::task::spawn_blocking(move || {
        let term = Term::stderr();
        term.write_str(&question)?;
        term.read_secure_line()
    })
    .await;
    restore_terminal();
    match answer {
        Ok(Ok(password)) if !password.is_empty() => Ok(password),
        Ok(Ok(_)) => Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "the password is empty")),
        _ => Err(Error::failed("cannot show a prompt on this terminal")
            .hint("set the password in the environment variable ETCDCTL_PASSWORD")),
    }
}
