//! Markdown for RESULTS.md.

use std::fmt::Write;

/// A heading, a description, and the figures.
pub struct Section {
    title: String,
    notes: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Section {
    pub fn new(title: &str, notes: &str, header: &[&str]) -> Self {
        Section {
            title: title.to_owned(),
            notes: notes.split_whitespace().collect::<Vec<_>>().join(" "),
            header: header.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.notes);
        let mut line = |cells: &[String]| {
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        };
        line(&self.header);
        line(&vec!["---".to_owned(); self.header.len()]);
        self.rows.iter().for_each(|row| line(row));
        text
    }
}

/// Writes a quotient.
pub fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 100.0 => format!("**{ratio:.0}x**"),
        ratio if ratio >= 10.0 => format!("**{ratio:.1}x**"),
        ratio => format!("**{ratio:.2}x**"),
    }
}

/// Writes a duration given in microseconds.
pub fn duration(us: f64) -> String {
    match us {
        us if us.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        us if us >= 10_000_000.0 => format!("{:.1} s", us / 1e6),
        us if us >= 100_000.0 => format!("{:.0} ms", us / 1000.0),
        us if us >= 1000.0 => format!("{:.2} ms", us / 1000.0),
        us if us >= 100.0 => format!("{us:.0} µs"),
        us if us >= 10.0 => format!("{us:.1} µs"),
        us => format!("{us:.2} µs"),
    }
}

/// Writes a number of bytes.
pub fn amount(bytes: f64) -> String {
    match bytes {
        bytes if bytes.is_nan() => "-".to_owned(),
        bytes if bytes >= 1e6 => format!("{:.2} MB", bytes / 1e6),
        bytes if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{bytes:.0} B"),
    }
}

/// Writes a number of records or peers.
pub fn count(n: u64) -> String {
    match n {
        n if n >= 1_000_000 && n.is_multiple_of(1_000_000) => format!("{}M", n / 1_000_000),
        n if n >= 1000 && n.is_multiple_of(1000) => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}
