//! Tables as kubectl prints them: no lines, columns three spaces apart, a header in capitals.

use super::Ui;
use super::sanitize::sanitize;
use crate::error::Result;

/// Rows below a header.
#[derive(Debug)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Table(vec![headings.iter().map(|heading| (*heading).to_owned()).collect()])
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells.iter().map(|cell| sanitize(cell).into_owned()).collect());
    }

    /// Writes it to standard output.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn print(&self, ui: &Ui) -> Result<()> {
        self.lines().iter().try_for_each(|line| ui.data(line))
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let padded = cells.map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None));
            padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["FILE", "REVISION"]);
        table.row(vec!["a-long-name.db".to_owned(), "7".to_owned()]);
        table.row(vec!["b\u{1b}[2J".to_owned(), "12345678901".to_owned()]);
        assert_eq!(table.lines(), ["FILE             REVISION", "a-long-name.db   7", "b\\u{1b}[2J       12345678901"]);
    }
}
