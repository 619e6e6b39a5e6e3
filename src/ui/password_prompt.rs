//! Asking for a password.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use console::Term;

use crate::error::{Error, ErrorKind, Result, Signal};

use super::Ui;

/// What was typed in this run, by its question.
#[derive(Clone, Default)]
pub(super) struct Typed(Arc<Mutex<BTreeMap<String, String>>>);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

impl Ui {
    /// Asks on the terminal; what is typed does not show. The same question is asked once in a run.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] when nothing was typed.
    pub async fn ask_secret(&self, question: &str) -> Result<String> {
        let typed = || self.typed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = typed().get(question) {
            return Ok(known.clone());
        }
        let answer = ask(question).await?;
        typed().insert(question.to_owned(), answer.clone());
        Ok(answer)
    }
}

async fn ask(question: &str) -> Result<String> {
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
            .hint("the password can come from the environment variable ETCDCTL_PASSWORD")),
    }
}
