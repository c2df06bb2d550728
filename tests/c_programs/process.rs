//! Running other processes with a deadline for everything, so that a hang is a failure that says where.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// For a program that runs to its end. The slowest are those under valgrind.
const RUN_SECONDS: u32 = 300;
/// For a line that a program is expected to print.
const LINE: Duration = Duration::from_secs(30);

/// Runs a program to its end, which must be a success; returns what it printed.
pub(crate) fn run(command: &Command) -> String {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=KILL", &RUN_SECONDS.to_string()]).arg(command.get_program());
    limited.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.stdin(Stdio::null()).output().expect("coreutils' timeout runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// A program that is told lines and answers in lines. It is killed when this is dropped.
pub(crate) struct Talker {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Talker {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Talker { name, stdin: child.stdin.take(), child, lines, printed: Vec::new() }
    }

    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open until `end`");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        self.find("another line", |_| true)
    }

    /// The next line that contains a text; those before it are skipped.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.find(text, |line| line.contains(text))
    }

    fn find(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LINE;
        loop {
            let Ok(line) = self.lines.recv_timeout(deadline - Instant::now().min(deadline)) else {
                panic!("{}: no `{what}` in\n{}", self.name, self.printed.join("\n"));
            };
            self.printed.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Closes its stdin and waits for it to end well; returns all it printed.
    pub(crate) fn end(mut self) -> String {
        self.stdin = None;
        // The reader hangs up at the end of stdout.
        let deadline = Instant::now() + LINE;
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now().min(deadline)) {
            self.printed.push(line);
        }
        let printed = self.printed.join("\n");
        assert!(Instant::now() < deadline, "{} doesn't end:\n{printed}", self.name);
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "{}: {status}\n{printed}", self.name);
        printed
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
