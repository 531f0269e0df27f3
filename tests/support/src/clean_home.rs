//! Where a test runs the program: directories and an environment that nothing of the machine
//! reaches.

use std::fmt::Write as _;
use std::path::PathBuf;

use assert_cmd::Command;

/// A home and a project directory that nothing of the machine reaches.
pub struct CleanHome(tempfile::TempDir);

impl CleanHome {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory"));
        fs_err::create_dir(place.path("home")).expect("created");
        fs_err::create_dir(place.path("project")).expect("created");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs_err::write(&path, text).expect("written");
        path
    }

    pub fn relto(&self) -> Command {
        let mut command = Command::new(crate::built::relto());
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .current_dir(self.path("project"));
        command
    }

    /// Exit code, stdout and stderr of `command`, with the temporary directory's path masked.
    pub fn told(&self, command: &mut Command) -> String {
        let output = command.output().expect("started");
        let mut told = format!("exit {}\n", output.status.code().expect("not killed"));
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(bytes).expect("text");
            if !text.is_empty() {
                let _ = write!(told, "--- {name}\n{text}");
            }
        }
        told.replace(&self.0.path().display().to_string(), "[T]")
    }

    pub fn relto_told(&self, arguments: &str) -> String {
        self.told(self.relto().args(arguments.split_whitespace()))
    }
}
