//! Tables as kubectl prints them: upper-case headers, aligned columns, three spaces between them.

use super::sanitize::sanitize;

/// Rows of cells below headers. All cells are escaped.
#[derive(Debug, Clone)]
pub struct Table {
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these headers.
    pub fn new<C: AsRef<str>>(headers: &[C]) -> Self {
        let mut table = Table { widths: Vec::new(), rows: Vec::new() };
        table.add_row(headers);
        table
    }

    /// Creates a table without headers.
    pub(super) fn without_headers() -> Self {
        Table { widths: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row. Wide cells make their columns wider for all rows that were not taken yet.
    pub fn add_row<C: AsRef<str>>(&mut self, cells: &[C]) {
        let cells: Vec<String> = cells.iter().map(|cell| sanitize(cell.as_ref()).into_owned()).collect();
        for (column, cell) in cells.iter().enumerate() {
            let width = console::measure_text_width(cell);
            match self.widths.get_mut(column) {
                Some(known) => *known = width.max(*known),
                None => self.widths.push(width),
            }
        }
        self.rows.push(cells);
    }

    /// Returns the rows as lines and removes them. The widths stay for later rows.
    pub fn take_lines(&mut self) -> Vec<String> {
        let rows = std::mem::take(&mut self.rows);
        rows.iter().map(|row| self.format_line(row)).collect()
    }

    fn format_line(&self, row: &[String]) -> String {
        let cells = row
            .iter()
            .zip(&self.widths)
            .map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let mut table = Table::new(&["POD", "ROLE"]);
        table.add_row(&["etcd-cp10", "leader"]);
        table.add_row(&["etcd-cp2", ""]);
        assert_eq!(table.take_lines(), ["POD         ROLE", "etcd-cp10   leader", "etcd-cp2"]);
        table.add_row(&["x\u{1b}[2J", "y"]);
        assert_eq!(table.take_lines(), ["x\\u{1b}[2J   y"]);
    }
}
