//! Tables: columns aligned by spaces.

use super::screen::Screen;
use super::text::short;

/// The least that is left of a last column on a narrow terminal, in characters; the line is wider then.
const LEAST: usize = 12;
/// The spaces between two columns.
const GAP: usize = 2;

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

    /// The whole table, each line with its line break. The last column is cut to the width of the screen.
    pub(crate) fn render(&self, screen: Screen) -> String {
        let paint = screen.paint;
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let header = self.header.iter().map(|name| ((*name).to_owned(), paint.dim(name)));
        let mut text = line(&widths, header);
        let last = self.header.len().saturating_sub(1);
        let before: usize = widths.iter().take(last).map(|width| width + GAP).sum();
        let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(before).max(LEAST));
        for row in &self.rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let plain = if column == last { short(&cell.text, room) } else { cell.text.clone() };
                let painted = cell.state.as_ref().map_or_else(|| plain.clone(), |state| paint.state(state, &plain));
                (plain, painted)
            });
            text += &line(&widths, cells);
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
        gap += width.saturating_sub(plain.chars().count()) + GAP;
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::paint::Paint;
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let mut table = Table::new(&["ID", "STATE", "WAITING FOR"]);
        table.row(["req_1".to_owned().into(), Cell::state("error", "error".to_owned()), String::new().into()]);
        table.row(["r".to_owned().into(), "pending_approval".to_owned().into(), "approvals".to_owned().into()]);
        let expected = "ID     STATE             WAITING FOR\nreq_1  error\nr      pending_approval  approvals\n";
        assert_eq!(table.render(Screen::PLAIN), expected);
        let colours = Screen { paint: Paint { on: true }, width: None };
        assert!(table.render(colours).contains("\u{1b}[31merror\u{1b}[0m\n"));
    }

    #[test]
    fn the_last_column_is_cut_to_the_screen() {
        let mut table = Table::new(&["ID", "WAITING FOR"]);
        table.row(["req_1".to_owned().into(), "credentials/prod: 0 of 1 approvals".to_owned().into()]);
        let at = |width| table.render(Screen { width: Some(width), ..Screen::PLAIN }).lines().nth(1).map(str::to_owned);
        assert_eq!(at(41).as_deref(), Some("req_1  credentials/prod: 0 of 1 approvals"));
        assert_eq!(at(30).as_deref(), Some("req_1  credentials/prod: 0 of…"));
        assert_eq!(at(8).as_deref(), Some("req_1  credentials…"));
    }
}
