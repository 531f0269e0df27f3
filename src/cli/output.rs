//! Writes to stdout and stderr.
//!
//! Only requested output goes to stdout. A closed pipe (`relto --help | head -1`) is not an error;
//! any other answer that is lost is.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

use crate::config::Warning;
use crate::error::{ExitCode, Hinted};
use crate::process::{Ending, Finished, Interruption};
use crate::report::messages;
use crate::text;

/// The exit code that a shell reports for a program that a signal ended, minus the signal's number.
const SIGNALLED: u8 = 128;

/// Writes an answer to stdout. On a terminal, names in it cannot do more than be read.
pub(super) fn print(text: &str) -> ExitCode {
    let text = if io::stdout().is_terminal() {
        text::messages(text)
    } else {
        text.into()
    };
    let mut stdout = anstream::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::Success,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Success,
        Err(reason) => {
            if !LOST.swap(true, Ordering::Relaxed) {
                error(&Unwritten(reason));
            }
            ExitCode::Failure
        }
    }
}

/// Whether a part of the answer has not reached stdout, which is said once.
static LOST: AtomicBool = AtomicBool::new(false);

/// The exit code of a command that has ended with `code`: what its answer was, is of no use if that
/// was lost.
pub(super) fn settled(code: ExitCode) -> ExitCode {
    if code == ExitCode::Success && LOST.load(Ordering::Relaxed) {
        ExitCode::Failure
    } else {
        code
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to the standard output")]
struct Unwritten(#[source] io::Error);

impl Hinted for Unwritten {}

/// An error, its causes and hints.
pub(super) fn error(error: &dyn Hinted) {
    to_stderr(&messages::error(error));
}

pub(super) fn warning(warning: &Warning) {
    to_stderr(&messages::warning(&warning.text, warning.hint.as_deref()));
}

/// One line of relto's own.
pub(super) fn line(text: &str) {
    to_stderr(&format!("relto: {text}\n"));
}

/// What a program has printed, as it is. A closed stream is ignored.
pub(super) fn of_program(stdout: &[u8], stderr: &[u8]) {
    let _ = io::stdout().lock().write_all(stdout);
    let _ = io::stderr().lock().write_all(stderr);
}

/// The same of a program that has ended, and the exit code that says how.
pub(super) fn finished(finished: &Finished) -> ExitCode {
    of_program(&finished.stdout, &finished.stderr);
    exit_code(finished.ending)
}

pub(super) fn exit_code(ending: Ending) -> ExitCode {
    match ending {
        Ending::Exited(0) => ExitCode::Success,
        Ending::Exited(code) => ExitCode::Compiler(u8::try_from(code).unwrap_or(u8::MAX)),
        Ending::Signalled(signal) => {
            ExitCode::Compiler(u8::try_from(signal).map_or(u8::MAX, |signal| SIGNALLED | signal))
        }
    }
}

/// In the place of a compiler or linker: a shell stops its script, and make its build, only if the
/// signal has ended the process.
pub(super) fn interrupted(interruption: Interruption) -> ExitCode {
    let signal = interruption.signal().and_then(|it| u8::try_from(it).ok());
    signal.map_or(ExitCode::Failure, ExitCode::Signalled)
}

/// Writes one block at once, so that lines of the linker and other programs do not come between. A
/// closed stream is ignored.
fn to_stderr(block: &str) {
    let _ = anstream::stderr().lock().write_all(block.as_bytes());
}

/// Starts logging to stderr, if `filter` is set. A filter that cannot be parsed is a warning, not
/// an error.
pub(super) fn start_log(filter: Option<&str>) {
    let Some(filter) = filter else { return };
    let filter = match EnvFilter::try_new(filter) {
        Ok(filter) => filter,
        Err(error) => {
            warning(&Warning {
                text: format!("`RELTO_LOG` is ignored: {error}"),
                hint: Some("write `RELTO_LOG=debug` or `RELTO_LOG=relto::reapi=trace`".to_owned()),
            });
            return;
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .finish();
    // Only a test in the same process can have set another before.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
