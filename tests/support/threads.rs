//! The threads of a process, and those that ARCHITECTURE.md lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A line of one of the tables.
pub struct Row {
    pub names: Vec<String>,
    /// Its last column: when they end, where the table tells.
    pub last: String,
}

/// Reads the table with this first column.
pub fn listed(first_column: &str) -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = ["ARCHITECTURE.md", "../ARCHITECTURE.md"].map(|page| root.join(page));
    let page = page.iter().find_map(|page| fs::read_to_string(page).ok()).unwrap();
    let heading = format!("| {first_column} |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&heading)).skip(2);
    let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(row).collect();
    assert!(rows.len() > 4, "{first_column} isn't listed");
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let named = cells[0].split('`').skip(1).step_by(2);
    let names = named.filter(|name| *name != "control_socket").map(str::to_owned).collect();
    Row { names, last: cells[cells.len() - 1].to_owned() }
}

/// Returns all names of some rows.
pub fn names(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| row.names.iter().cloned()).collect()
}

/// Returns the names of a process's threads. The kernel keeps fifteen characters, as many as the longest of ours has.
pub fn of_process(pid: u32) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // One may end in between.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}
