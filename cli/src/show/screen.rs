//! The whole screen of a terminal, for what is kept up to date on it. The terminal's own screen comes back when
//! the [`Screen`] is dropped, and before a panic is told.

use std::io::{self, Write};
use std::panic;
use std::sync::Once;

/// The alternate screen without cursor; lines that are too long are cut off, not wrapped.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The screen, while it is ours.
pub struct Screen(());

impl Screen {
    /// Takes the screen.
    pub fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                leave();
                before(info);
            }));
        });
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes()).and_then(|()| out.flush())?;
        Ok(Screen(()))
    }

    /// Counts the columns and rows that may be written to: all but the last column, from which the cursor doesn't
    /// move on; erasing what is right of it would take the last letter.
    pub fn size(&self) -> (usize, usize) {
        let size = terminal_size::terminal_size_of(io::stdout());
        let size: (usize, usize) =
            size.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
        (size.0.saturating_sub(1), size.1)
    }

    /// Shows these lines and nothing else, without flicker: each is written over the one that stood there.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let (_, height) = self.size();
        let shown: Vec<_> = lines.iter().take(height).map(|line| format!("{line}\x1b[K")).collect();
        // No line break after the last: it would scroll a full screen.
        let frame = format!("\x1b[H{}\x1b[J", shown.join("\r\n"));
        // Not through anstream, which would take out what moves the cursor along with the colours.
        let choice = anstream::stdout().current_choice();
        let plain = choice == anstream::ColorChoice::Never;
        out_raw(&if plain { without_colours(&frame) } else { frame })
    }
}

fn out_raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Takes out `ESC [ .. m`, and leaves what moves the cursor.
fn without_colours(frame: &str) -> String {
    let mut plain = String::with_capacity(frame.len());
    let mut rest = frame;
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at..];
        let end = sequence[2..]
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(sequence.len(), |end| end + 3);
        if !sequence[..end].ends_with('m') {
            plain.push_str(&sequence[..end]);
        }
        rest = &sequence[end..];
    }
    plain + rest
}

fn leave() {
    let _ = out_raw(LEAVE);
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_are_taken_out() {
        assert_eq!(without_colours("\x1b[H\x1b[1mID\x1b[0m\x1b[K\x1b[J"), "\x1b[HID\x1b[K\x1b[J");
    }
}
