//! Tables as kubectl prints them: upper-case headers, aligned columns, three spaces between them.

use super::sanitize::sanitize;

/// Rows of cells below headers. Whatever a cell says is escaped.
#[derive(Debug, Clone)]
pub struct Table {
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers.
    pub fn new<C: AsRef<str>>(headers: &[C]) -> Self {
        let mut table = Table { widths: Vec::new(), rows: Vec::new() };
        table.row(headers);
        table
    }

    /// A table without headers.
    pub(super) fn bare() -> Self {
        Table { widths: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row. A later row that is wider makes its columns wider for all rows that are not printed yet.
    pub fn row<C: AsRef<str>>(&mut self, cells: &[C]) {
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

    /// The lines of all rows, which are forgotten; the widths stay for the rows to come.
    pub fn take_lines(&mut self) -> Vec<String> {
        let rows = std::mem::take(&mut self.rows);
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
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
        table.row(&["etcd-cp10", "leader"]);
        table.row(&["etcd-cp2", ""]);
        assert_eq!(table.take_lines(), ["POD         ROLE", "etcd-cp10   leader", "etcd-cp2"]);
        table.row(&["x\u{1b}[2J", "y"]);
        assert_eq!(table.take_lines(), ["x\\u{1b}[2J   y"]);
    }
}
