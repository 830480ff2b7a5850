//! Tables: columns aligned by spaces.

use super::paint::Paint;

/// A table; cells have to be safe to show.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: its text, and the state in whose colour it is painted, if any.
pub(crate) struct Cell {
    text: String,
    state: Option<String>,
}

impl Cell {
    /// A cell that is painted as this state.
    pub(crate) fn state(state: &str, text: String) -> Self {
        Self { text, state: Some(state.to_owned()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, state: None }
    }
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The whole table, each line with its line break.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let header = self.header.iter().map(|name| ((*name).to_owned(), paint.dim(name)));
        let mut text = line(&widths, header);
        for row in &self.rows {
            let painted = |cell: &Cell| match &cell.state {
                Some(state) => paint.state(state, &cell.text),
                None => cell.text.clone(),
            };
            text += &line(&widths, row.iter().map(|cell| (cell.text.clone(), painted(cell))));
        }
        text
    }
}

/// One line; each cell comes plain, for its width, and painted.
fn line(widths: &[usize], cells: impl Iterator<Item = (String, String)>) -> String {
    let mut line = String::new();
    let mut gap = 0;
    for (width, (plain, painted)) in widths.iter().zip(cells) {
        if !plain.is_empty() {
            line += &" ".repeat(gap);
            line += &painted;
            gap = 0;
        }
        gap += width.saturating_sub(plain.chars().count()) + 2;
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let mut table = Table::new(&["ID", "STATE", "WAITING FOR"]);
        table.row(["req_1".to_owned().into(), Cell::state("error", "error".to_owned()), String::new().into()]);
        table.row(["r".to_owned().into(), "pending_approval".to_owned().into(), "approvals".to_owned().into()]);
        let expected = "ID     STATE             WAITING FOR\nreq_1  error\nr      pending_approval  approvals\n";
        assert_eq!(table.render(Paint { on: false }), expected);
        assert!(table.render(Paint { on: true }).contains("\u{1b}[31merror\u{1b}[0m\n"));
    }
}
