//! Takes threads away from a process: a `pthread_create` of our own (`shortage.c`) that the loader finds before libc's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::preload::compile;

/// A shortage that can begin and end. The processes that meet it outlive it not.
pub struct Shortage(TempDir);

impl Shortage {
    /// Compiles what brings it about.
    pub fn new() -> Shortage {
        let dir = TempDir::new().unwrap();
        compile("shortage", dir.path());
        Shortage(dir)
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("shortage.so")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("shortage")
    }

    /// Has a program meet it, wherever it asks for a thread.
    pub fn of<'a>(&self, program: &'a mut Command) -> &'a mut Command {
        program.env("LD_PRELOAD", self.library()).env("PEERKIT_TEST_SHORTAGE", self.file())
    }

    /// Has a program go without the thread of this number, from one on.
    pub fn of_nth<'a>(&self, program: &'a mut Command, nth: usize) -> &'a mut Command {
        self.of(program).env("PEERKIT_TEST_NTH", nth.to_string())
    }

    /// No thread is given from here on.
    pub fn begin(&self) {
        fs::write(self.file(), "").unwrap();
    }

    /// Threads are given again.
    pub fn end(&self) {
        fs::remove_file(self.file()).unwrap();
    }
}
