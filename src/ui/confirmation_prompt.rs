//! The prompt before something is deleted.

use dialoguer::{Confirm, theme::ColorfulTheme};

use super::terminal::{restore_terminal, save_terminal};
use crate::error::{Error, ErrorKind, Result, Signal};

/// Asks a question that is answered with y or n; Enter means no.
///
/// # Errors
/// [`ErrorKind::Interrupted`] after Esc or Ctrl-C.
pub async fn prompt_confirmation(question: &str) -> Result<bool> {
    let question = question.to_owned();
    save_terminal();
    // The prompt blocks its thread, and a signal must still be noticed.
    let answer = tokio::task::spawn_blocking(move || {
        Confirm::with_theme(&ColorfulTheme::default()).with_prompt(question).default(false).interact_opt()
    })
    .await;
    restore_terminal();
    match answer {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "nothing was deleted")),
        Ok(Err(dialoguer::Error::IO(error))) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"))
        }
        Ok(Err(_)) | Err(_) => Err(Error::failed("cannot show a prompt on this terminal").hint("confirm with --yes")),
    }
}
