//! A terminal to run a command in: tmux, whose screen can be read as a person would see it.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::PEERKIT;
use super::program::eventually;

/// A terminal of its own server, gone with this.
pub struct Terminal(String);

impl Terminal {
    /// Runs `peerkit` in it, and tells its exit code on the screen when it has ended.
    pub fn run(args: &[String], columns: u32, rows: u32) -> Terminal {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal(format!("peerkit-{}-{count}", std::process::id()));
        let quoted: Vec<_> = args.iter().map(|arg| format!("'{arg}'")).collect();
        let line = format!("echo before; '{PEERKIT}' {}; echo code $?; exec cat", quoted.join(" "));
        let size = [columns, rows].map(|size| size.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &size[0], "-y", &size[1], &line]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.0, "-f", "/dev/null"]).args(args).env_remove("TMUX");
        for name in ["NO_COLOR", "COLUMNS", "LINES", "PEERKIT_DATA_DIR"] {
            tmux.env_remove(name);
        }
        let output = tmux.output().expect("tmux is there: make test-deps installs it");
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Gives what stands on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted, and gives it.
    #[track_caller]
    pub fn wait(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        eventually(&format!("{what} on the screen"), || {
            last = self.screen();
            is(&last).then(|| last.clone())
        })
    }

    pub fn resize(&self, columns: u32, rows: u32) {
        let size = [columns, rows].map(|size| size.to_string());
        self.tmux(&["resize-window", "-x", &size[0], "-y", &size[1]]);
    }

    pub fn interrupt(&self) {
        self.tmux(&["send-keys", "C-c"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).output();
    }
}
