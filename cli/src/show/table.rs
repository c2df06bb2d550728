//! Aligned tables and lists of fields. Every text that goes into one is escaped here, so that no caller can
//! forget it. On a terminal a table fits its width: the widest columns are cut, with an ellipsis.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape::escape;
use super::style;

/// The blanks between two columns.
const GAP: usize = 2;
/// The text of a cell where nothing is known.
const NOTHING: &str = "-";

/// A text in a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Takes any text, whoever wrote it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Cell { text: escape(text.as_ref()).into_owned(), style: Style::new() }
    }

    /// Takes a text, or a dash.
    pub fn of(text: Option<impl AsRef<str>>) -> Self {
        match text {
            Some(text) if !text.as_ref().is_empty() => Cell::new(text),
            _ => Cell::new(NOTHING).styled(style::DIM),
        }
    }

    /// Changes the style.
    pub fn styled(self, style: Style) -> Self {
        Cell { style, ..self }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    name: &'static str,
    right: bool,
    /// The least width it is cut to; None where it is never cut.
    least: Option<usize>,
}

/// Makes a column whose texts stand on the left and aren't cut.
pub const fn left(name: &'static str) -> Column {
    Column { name, right: false, least: None }
}

/// Makes a column of numbers.
pub const fn right(name: &'static str) -> Column {
    Column { name, right: true, least: None }
}

/// Makes a column that may be cut to this width.
pub const fn cut(name: &'static str, least: usize) -> Column {
    Column { name, right: false, least: Some(least) }
}

/// A table with its header.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Makes an empty table.
    pub fn new(columns: &[Column]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// Gives its lines, no wider than that; None for as wide as need be.
    pub fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let header = self.columns.iter();
        let header = header.map(|column| Cell::new(column.name).styled(style::HEADER)).collect();
        std::iter::once(&header).chain(&self.rows).map(|cells| self.line(cells, &widths)).collect()
    }

    fn line(&self, cells: &[Cell], widths: &[usize]) -> String {
        let mut line = String::new();
        let last = widths.len() - 1;
        for (place, ((cell, column), width)) in
            cells.iter().zip(&self.columns).zip(widths).enumerate()
        {
            let text = fit(&cell.text, *width);
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let styled = format!("{}{text}{:#}", cell.style, cell.style);
            match (column.right, place == last) {
                (true, _) => line.extend([padding.as_str(), &styled]),
                (false, true) => line.push_str(&styled),
                (false, false) => line.extend([styled.as_str(), &padding]),
            }
            if place != last {
                line.push_str(&" ".repeat(GAP));
            }
        }
        line
    }

    /// Finds the widths of the columns that are shown: the last ones aren't where there is no room at all.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let natural = |(place, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            let widest = cells.map(|cell| cell.text.width()).max().unwrap_or(0);
            widest.max(column.name.len())
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(natural).collect();
        let Some(room) = room else { return widths };
        let shown = (1..=widths.len()).rev();
        let fitting = shown.map(|count| self.shrunk(widths[..count].to_vec(), room));
        let mut fitting = fitting.filter(|widths| total(widths) <= room);
        fitting.next().unwrap_or_else(|| vec![room.max(1)])
    }

    /// Cuts the widest columns as far as need be, and as far as they may be.
    fn shrunk(&self, mut widths: Vec<usize>, room: usize) -> Vec<usize> {
        while total(&widths) > room {
            let cuttable = widths.iter().zip(&self.columns).enumerate();
            let widest = cuttable
                .filter(|(_, (width, column))| column.least.is_some_and(|least| **width > least))
                .max_by_key(|(_, (width, _))| **width);
            let Some((place, _)) = widest else { break };
            widths[place] -= 1;
        }
        widths
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Cuts a text to a width, with an ellipsis where something was cut.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    kept.chain(['…']).collect()
}

/// Names with values, the values aligned below each other.
#[derive(Debug, Default)]
pub struct Fields(Vec<(&'static str, Cell)>);

impl Fields {
    /// Begins an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn add(&mut self, name: &'static str, value: impl AsRef<str>) {
        self.0.push((name, Cell::new(value)));
    }

    /// Adds a value in a style.
    pub fn styled(&mut self, name: &'static str, value: impl AsRef<str>, style: Style) {
        self.0.push((name, Cell::new(value).styled(style)));
    }

    /// Adds a value where there is one.
    pub fn option(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Adds values below each other.
    pub fn list(&mut self, name: &'static str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut name = name;
        for value in values {
            self.add(name, value);
            name = "";
        }
    }

    /// Gives the lines.
    pub fn lines(&self) -> Vec<String> {
        let widest = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let head = style::HEADER;
        let line = |(name, cell): &(&str, Cell)| {
            let style = cell.style;
            let padding = " ".repeat(widest - name.len() + GAP);
            format!("{head}{name}{head:#}{padding}{style}{}{style:#}", cell.text)
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    fn table() -> Table {
        let mut table = Table::new(&[left("ID"), cut("AGENT", 5), right("MS")]);
        table.row([Cell::new("a"), Cell::new("日本語日本語日本語"), Cell::new("1.5")]);
        table.row([Cell::new("bcd"), Cell::new("x\u{202e}\x1b[2J"), Cell::of(None::<&str>)]);
        table
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_script() {
        let lines = plain(&table().lines(None));
        assert_eq!(lines[0], "ID   AGENT                MS");
        assert_eq!(lines[1], "a    日本語日本語日本語  1.5");
        assert_eq!(lines[2], "bcd  x\\u{202e}\\u{1b}[2J    -");
    }

    #[test]
    fn a_table_is_never_wider_than_the_terminal() {
        for width in 1..40 {
            for line in plain(&table().lines(Some(width))) {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
        }
        assert_eq!(plain(&table().lines(Some(20)))[1], "a    日本語日…   1.5");
    }
}
