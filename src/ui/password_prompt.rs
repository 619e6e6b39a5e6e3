//! The prompt for a password.

use console::Term;

use crate::error::{Error, ErrorKind, Result, Signal};

/// Asks on the terminal; what is typed does not show.
///
/// # Errors
/// [`ErrorKind::Interrupted`] when nothing was typed.
pub async fn prompt_password(question: &str) -> Result<String> {
    let question = question.to_owned();
    super::select_prompt::save();
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
        Ok(Ok(_)) => Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "no password was typed")),
        _ => Err(Error::failed("the terminal cannot show a prompt")
            .hint("set the password in the environment variable ETCDCTL_PASSWORD")),
    }
}
