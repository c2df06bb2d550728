//! The few styles there are. They are stripped where the output is no terminal.

use anstyle::{AnsiColor, Style};

/// The head of a column, the name of a field.
pub const HEADER: Style = Style::new().bold();
/// What is well: connected, running.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();
