//! Shows one launched compile to its user: the compiler's messages unchanged, and new warnings.
//!
//! There is no progress bar and no summary, because a build starts thousands of these. The caller
//! decides which warnings are new.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::messages;
use super::record::verdict_word;
use crate::events::{Event, Origin, Stamped};

/// The running reporter of one job.
#[derive(Debug)]
pub struct OneJob {
    thread: JoinHandle<bool>,
}

impl OneJob {
    /// Starts reporting. `is_news` decides whether a warning is shown.
    #[must_use]
    pub fn start(
        receiver: mpsc::Receiver<Stamped>,
        is_news: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        let thread = std::thread::spawn(move || {
            let mut module = String::new();
            let mut farm_reached = true;
            for stamped in receiver {
                match stamped.event {
                    Event::LinkStarted { modules, .. } => {
                        module = modules.into_iter().next().unwrap_or_default();
                    }
                    Event::CompilerMessage { text, .. } => write_unchanged(&text),
                    Event::CompilerStdout { bytes, .. } => write_stdout(&bytes),
                    Event::Warning { text, hint } if is_news(&of_any(&text, &module)) => {
                        write(&messages::warning(&text, hint.as_deref()));
                    }
                    Event::Warning { text, .. } | Event::Note { text } => tracing::info!("{text}"),
                    Event::JobFinished { origin, .. } => {
                        tracing::info!("`{module}`: {}", place(origin));
                    }
                    Event::Verified { verdict, .. } => {
                        tracing::info!("`{module}`: {}", verdict_word(verdict));
                    }
                    Event::Streaming { page } => {
                        write(&format!("relto: {}\n", messages::streaming(&page)));
                    }
                    Event::FarmUnreachable => farm_reached = false,
                    Event::LinkFinished => break,
                    _ => {}
                }
            }
            farm_reached
        });
        Self { thread }
    }

    /// Waits until everything is shown. Returns false if the farm could not be reached.
    pub fn finish(self) -> bool {
        match self.thread.join() {
            Ok(farm_reached) => farm_reached,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The same message for another module is not new.
fn of_any(text: &str, module: &str) -> String {
    text.replace(&format!("`{module}`"), "a module")
}

/// Writes one block in one write; write errors are ignored.
fn write(block: &str) {
    let _ = anstream::stderr().lock().write_all(block.as_bytes());
}

/// The compiler's own bytes, with the colours that its arguments request.
fn write_unchanged(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn write_stdout(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn place(origin: Origin) -> &'static str {
    match origin {
        Origin::DiskCache | Origin::RemoteCache | Origin::Shared => "cached",
        Origin::Remote => "remote",
        Origin::Local => "local",
        Origin::InPlace => "in place",
    }
}
