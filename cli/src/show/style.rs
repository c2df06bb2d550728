//! The few styles there are. They are stripped where the output is no terminal.

use anstyle::{AnsiColor, Style};

/// The head of a column, the name of a field.
pub const HEADER: Style = Style::new().bold();
/// The style of success: connected, running.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// The style of a failure.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of a warning.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// The style of what matters less.
pub const DIM: Style = Style::new().dimmed();
