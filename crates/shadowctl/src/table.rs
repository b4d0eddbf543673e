//! Plain aligned tables: two spaces between columns, numbers to the right, nothing else. They stay readable in a log, in a
//! mail and through `awk`; that is why no table library draws them.

use std::fmt::Write as _;

use crate::output::printable;

/// On which side the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns in order; a name that begins with `>` is that of a column aligned to the right.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('>') {
            Some(name) => (name, Align::Right),
            None => (*name, Align::Left),
        };
        Self { head: columns.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column; what would break the line or steer a terminal becomes a space.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "one cell for each column");
        let one_line = |cell: String| printable(&cell).replace('\n', " ");
        self.rows.push(cells.map(one_line).into());
    }

    /// The table as text.
    pub(crate) fn render(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|(name, _)| (*name).to_owned()).collect();
        let width = |column: usize| {
            std::iter::once(&head).chain(&self.rows).map(|row| width_of(&row[column])).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = widths[column] - width_of(cell);
                let _ = match self.head[column].1 {
                    Align::Left => write!(line, "{cell}{:pad$}  ", ""),
                    Align::Right => write!(line, "{:pad$}{cell}  ", ""),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

/// `name  value` lines, aligned.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_on_its_line() {
        let mut table = Table::new(&["route", ""]);
        table.row(["GET /\n\u{1b}[2J".into(), "x".into()]);
        assert_eq!(table.render(), "route\nGET /  [2J  x\n");
    }

    #[test]
    fn columns_align_and_lines_have_no_trailing_spaces() {
        let mut table = Table::new(&["route", ">requests", "note"]);
        table.row(["GET /a".into(), "12,345".into(), String::new()]);
        table.row(["GET /long/é".into(), "7".into(), "slow".into()]);
        insta::assert_snapshot!(table.render(), @r"
        route        requests  note
        GET /a         12,345
        GET /long/é         7  slow
        ");
    }
}
