//! How errors reach the user, and the exit codes that lld and make read.
//!
//! Each module has its own error type; only the rendering is shared: the message, its causes, and
//! `hint:` lines that say what to change.

use std::error::Error;
use std::fmt;
use std::process;

use serde::{Deserialize, Serialize};

/// The exit code of the process. 126 and 127 are never used: lld takes them for "could not be
/// executed".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Every job has its object.
    Success,
    /// The link cannot go on; the reason is on stderr.
    Failure,
    /// The command line or a configuration file is wrong.
    Usage,
    /// The compiler's own code, in launcher mode.
    Compiler(u8),
    /// A signal has ended what a launcher or a wrapper stood for, and ends relto. The code is that of
    /// a shell, for where it cannot.
    Signalled(u8),
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(match code {
            ExitCode::Success => 0,
            ExitCode::Failure => 1,
            ExitCode::Usage => 2,
            ExitCode::Compiler(code) => code,
            ExitCode::Signalled(signal) => 128 | signal,
        })
    }
}

/// The causes of `error`, the nearest first, without itself.
pub fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// An error that may know the way out.
///
/// The message itself follows the habit of `thiserror` types: a lower-case fragment without a full
/// stop, naming the file and the reason, values in backticks.
pub trait Hinted: Error {
    /// What the user can change, one sentence each.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }

    /// The first of [`Self::hints`], for where one is shown.
    fn hint(&self) -> Option<String> {
        self.hints().into_iter().next()
    }
}

/// An error as text: what another process gets of it, and what reads the same there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainError {
    message: String,
    cause: Option<Box<PlainError>>,
    hints: Vec<String>,
}

impl PlainError {
    /// `error` with its causes and hints, each text as `edit` makes it.
    pub fn of(error: &dyn Hinted, edit: &dyn Fn(&str) -> String) -> Self {
        let mut messages = vec![edit(&error.to_string())];
        messages.extend(causes(error).map(|cause| edit(&cause.to_string())));
        let plain = |cause: Option<Self>, message: String| Self {
            message,
            cause: cause.map(Box::new),
            hints: Vec::new(),
        };
        let first = messages.remove(0);
        let cause = messages
            .into_iter()
            .rev()
            .fold(None, |cause, message| Some(plain(cause, message)));
        Self {
            hints: error.hints().iter().map(|hint| edit(hint)).collect(),
            ..plain(cause, first)
        }
    }
}

impl fmt::Display for PlainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PlainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}

impl Hinted for PlainError {
    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// The message of an error and those of its causes on one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

/// Shows an error with its causes, one line each.
pub struct WithCauses<'a>(pub &'a dyn Hinted);

impl fmt::Debug for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        for cause in causes(self.0) {
            write!(f, "\n  caused by: {cause}")?;
        }
        Ok(())
    }
}

/// Shows an error with its causes and hints, one line each, as it goes to stderr.
pub struct Rendered<'a>(pub &'a dyn Hinted);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", WithCauses(self.0))?;
        for hint in self.0.hints() {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `{0}`")]
    struct Unreadable(&'static str, #[source] std::io::Error);

    impl Hinted for Unreadable {
        fn hints(&self) -> Vec<String> {
            vec!["check its mode".to_owned()]
        }
    }

    #[test]
    fn causes_and_hints_follow_the_message() {
        let error = Unreadable("a.o", std::io::Error::other("no luck"));
        assert_eq!(
            Rendered(&error).to_string(),
            "cannot read `a.o`\n  caused by: no luck\n  hint: check its mode"
        );
        let plain = PlainError::of(&error, &str::to_owned);
        assert_eq!(Rendered(&plain).to_string(), Rendered(&error).to_string());
    }
}
