//! Letting a person pick the member.

use std::sync::{Mutex, PoisonError};

use dialoguer::{Select, theme::ColorfulTheme};

use super::table::Table;
use crate::error::{Error, ErrorKind, Result, Signal};

/// What the picker shows of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectItem {
    /// The cells: pod, node, role, health, version, size, revision.
    pub cells: Vec<String>,
    /// Marked as the one to take.
    pub recommended: bool,
}

/// Asks which member to back up; the index of its row. `preselected` is where the cursor starts.
///
/// # Errors
/// [`ErrorKind::Interrupted`] when the person changed their mind (Esc, Ctrl-C).
pub async fn pick(question: &str, rows: &[SelectItem], preselected: usize) -> Result<usize> {
    let (question, items) = (question.to_owned(), lines(rows));
    save();
    // The prompt blocks; a signal must still be heard.
    let answer = tokio::task::spawn_blocking(move || {
        Select::with_theme(&ColorfulTheme::default())
            .with_prompt(question)
            .items(&items)
            .default(preselected)
            .report(false)
            .interact_opt()
    })
    .await;
    super::restore_terminal();
    match answer {
        Ok(Ok(Some(index))) => Ok(index),
        Ok(Ok(None)) => Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "no member was picked")),
        Ok(Err(dialoguer::Error::IO(error))) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"))
        }
        Ok(Err(_)) | Err(_) => {
            Err(Error::failed("the terminal cannot show a prompt").hint("name the member with --member"))
        }
    }
}

/// The rows as lines with aligned columns.
fn lines(rows: &[SelectItem]) -> Vec<String> {
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or_default();
    let mut table = Table::bare();
    for row in rows {
        let mut cells = row.cells.clone();
        cells.resize(columns, String::new());
        cells.extend(row.recommended.then(|| "recommended".to_owned()));
        table.row(&cells);
    }
    table.take_lines()
}

#[cfg(unix)]
type Saved = Option<rustix::termios::Termios>;
#[cfg(not(unix))]
type Saved = Option<()>;

/// The terminal's settings from before the prompt. A signal can end the run while the prompt waits in raw mode.
static SAVED: Mutex<Saved> = Mutex::new(None);

#[cfg(unix)]
pub(super) fn save() {
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = rustix::termios::tcgetattr(std::io::stdin()).ok();
}

#[cfg(not(unix))]
pub(super) fn save() {}

/// Puts the terminal back as it was before the prompt.
#[cfg(unix)]
pub(super) fn restore() {
    if let Some(saved) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that has gone away needs no settings.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &saved);
    }
}

#[cfg(not(unix))]
pub(super) fn restore() {
    let _ = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_recommended_row_is_marked() {
        let row = |cells: [&str; 2], recommended| SelectItem { cells: cells.map(str::to_owned).to_vec(), recommended };
        let lines = lines(&[row(["etcd-cp10", "leader"], false), row(["etcd-cp2", "follower"], true)]);
        assert_eq!(lines, ["etcd-cp10   leader", "etcd-cp2    follower   recommended"]);
    }
}
