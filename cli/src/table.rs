//! Tables for people. Columns are as wide as their content.

use crate::text::one_line;

/// A table under construction. Columns whose title begins with `>` are right-aligned.
pub struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these columns.
    pub fn new(titles: &[&'static str]) -> Self {
        Self { titles: titles.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|c| one_line(c.as_ref())).collect());
    }

    /// Renders the table as text, titles first.
    pub fn render(&self) -> String {
        let titles: Vec<String> = self.titles.iter().map(|t| t.trim_start_matches('>').to_owned()).collect();
        let mut widths: Vec<usize> = titles.iter().map(|t| t.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), title) in row.iter().zip(&widths).zip(&self.titles) {
                let pad = " ".repeat(width - cell.chars().count().min(*width));
                if title.starts_with('>') {
                    line = line + &pad + cell + "  ";
                } else {
                    line = line + cell + &pad + "  ";
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", ">FUEL", "STATE"]);
        table.row(["a", "1", "ok"]);
        table.row(["longer", "12345", "bad\nnews\x1b"]);
        assert_eq!(table.render(), "NAME     FUEL  STATE\na           1  ok\nlonger  12345  bad news\n");
    }
}
