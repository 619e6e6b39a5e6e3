//! Asking for a password.

use console::Term;

use crate::error::{Error, Kind, Result, Signal};

/// Asks on the terminal; what is typed does not show.
///
/// # Errors
/// [`Kind::Interrupted`] when nothing was typed.
pub async fn ask_secret(question: &str) -> Result<String> {
    let question = question.to_owned();
    super::picker::save();
    // The prompt blocks; a signal must still be heard.
    let answer = tokio::task::spawn_blocking(move || {
        let term = Term::stderr();
        term.write_str(&question)?;
        term.read_secure_line()
    })
    .await;
    super::restore_terminal();
    match answer {
        Ok(Ok(password)) if !password.is_empty() => Ok(password),
        Ok(Ok(_)) => Err(Error::new(Kind::Interrupted(Signal::Interrupt), "no password was typed")),
        _ => Err(Error::failed("the terminal cannot show a prompt")
            .hint("the password can come from the environment variable ETCDCTL_PASSWORD")),
    }
}
