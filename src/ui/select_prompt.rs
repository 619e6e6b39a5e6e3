//! The prompt that selects a member.

use dialoguer::{Select, theme::ColorfulTheme};

use super::table::Table;
use super::terminal::{restore_terminal, save_terminal};
use crate::error::{Error, ErrorKind, Result, Signal};

/// A line of the prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectItem {
    /// The cells: pod, node, role, health, version, size, revision.
    pub cells: Vec<String>,
    /// Marks the item with the word "recommended".
    pub recommended: bool,
}

/// Prompts for one of `items` and returns its index. The cursor starts at `preselected`.
///
/// # Errors
/// [`ErrorKind::Interrupted`] after Esc or Ctrl-C.
pub async fn prompt_selection(question: &str, items: &[SelectItem], preselected: usize) -> Result<usize> {
    let (question, lines) = (question.to_owned(), format_items(items));
    save_terminal();
    // The prompt blocks its thread, and a signal must still be noticed.
    let answer = tokio::task::spawn_blocking(move || {
        Select::with_theme(&ColorfulTheme::default())
            .with_prompt(question)
            .items(&lines)
            .default(preselected)
            .report(false)
            .interact_opt()
    })
    .await;
    restore_terminal();
    match answer {
        Ok(Ok(Some(index))) => Ok(index),
        Ok(Ok(None)) => Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "no member was selected")),
        Ok(Err(dialoguer::Error::IO(error))) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Error::new(ErrorKind::Interrupted(Signal::Interrupt), "interrupted"))
        }
        Ok(Err(_)) | Err(_) => {
            Err(Error::failed("cannot show a prompt on this terminal").hint("name the member with --member"))
        }
    }
}

/// Formats the items as lines with aligned columns.
fn format_items(items: &[SelectItem]) -> Vec<String> {
    let columns = items.iter().map(|item| item.cells.len()).max().unwrap_or_default();
    let mut table = Table::without_headers();
    for item in items {
        let mut cells = item.cells.clone();
        cells.resize(columns, String::new());
        cells.extend(item.recommended.then(|| "recommended".to_owned()));
        table.add_row(&cells);
    }
    table.take_lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_recommended_item_is_marked() {
        let item = |cells: &[&str], recommended| SelectItem {
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            recommended,
        };
        let lines = format_items(&[
            item(&["etcd-cp10", "leader"], false),
            item(&["etcd-cp2", "follower"], true),
            item(&["none, exit now"], false),
        ]);
        assert_eq!(lines, ["etcd-cp10        leader", "etcd-cp2         follower   recommended", "none, exit now"]);
    }
}
