//! Shows a link to its user: the progress bar, messages and warnings in whole blocks, one summary
//! line, and the requested files.
//!
//! It is made from the link's events on a thread of its own, and decides nothing: the link does not
//! wait for it.

mod compact_log;
mod lanes;
mod log;
pub mod messages;
mod one_job;
mod progress;
mod record;
mod summary;
#[cfg(test)]
mod tests;
mod totals;
mod trace;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::events::{self, Event, Stamped};
use compact_log::CompactLog;
use progress::Progress;

pub use lanes::lane;
pub use one_job::OneJob;
use summary::summary;
pub use summary::{counts, counts_and_time};
pub use totals::Totals;
pub use trace::gzip;

/// What to show, and how.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// No summary. Warnings and messages are shown all the same.
    pub quiet: bool,
    /// Draw a bar; for terminals only.
    pub progress: bool,
    /// The file for the trace.
    pub profile: Option<PathBuf>,
    /// The file for one line of JSON for each job.
    pub execution_log: Option<PathBuf>,
    /// The file for Bazel's compact execution log.
    pub compact_log: Option<PathBuf>,
    /// The id that the log names.
    pub invocation_id: String,
}

/// Where the text goes. The writer removes colours unless it is a terminal.
type ReportWriter = Box<dyn Write + Send>;

/// The running reporter of one link.
#[derive(Debug)]
pub struct Reporter {
    thread: JoinHandle<Report>,
}

impl Reporter {
    /// Starts reporting the events from `receiver` on stderr.
    #[must_use]
    pub fn start(receiver: mpsc::Receiver<Stamped>, style: Style) -> Self {
        Self::start_with(receiver, style, Box::new(anstream::stderr()))
    }

    fn start_with(receiver: mpsc::Receiver<Stamped>, style: Style, sink: ReportWriter) -> Self {
        let started = events::now();
        let thread = std::thread::spawn(move || {
            let mut report = Report::new(style, sink, started);
            report.consume(&receiver);
            report
        });
        Self { thread }
    }

    /// Waits for `Event::LinkFinished`, or until every `Events` of the link is dropped, and all is
    /// shown; then writes the files and, after a link that succeeded, the summary.
    pub fn finish(self, succeeded: bool) -> Totals {
        match self.thread.join() {
            Ok(report) => report.finish(succeeded),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Whether the profile or the execution log is made from it.
fn is_of_record(event: &Event) -> bool {
    let is_description = matches!(
        event,
        Event::JobDescribed { .. } | Event::OutputsDescribed { .. }
    );
    !is_description && !event.is_for_timings()
}

struct Report {
    style: Style,
    sink: ReportWriter,
    progress: Progress,
    totals: Totals,
    link: String,
    modules: Vec<String>,
    warned: HashSet<String>,
    /// The events of the record, if a file is made from them.
    recorded: Vec<Stamped>,
    /// The compact log as far as it is known.
    compact_log: Option<CompactLog>,
    started: Instant,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report")
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl Report {
    fn new(style: Style, sink: ReportWriter, started: Instant) -> Self {
        let is_logged = style.compact_log.is_some();
        let compact_log = is_logged.then(|| CompactLog::new(style.invocation_id.clone()));
        Self {
            compact_log: compact_log.and_then(Result::ok),
            progress: Progress::new(style.progress, started),
            style,
            sink,
            totals: Totals::default(),
            link: String::new(),
            modules: Vec::new(),
            warned: HashSet::new(),
            recorded: Vec::new(),
            started,
        }
    }

    fn consume(&mut self, receiver: &mpsc::Receiver<Stamped>) {
        loop {
            let next = match self.progress.redraw_interval() {
                None => receiver.recv().map_err(mpsc::RecvTimeoutError::from),
                Some(interval) => receiver.recv_timeout(interval),
            };
            match next {
                Ok(stamped) => {
                    let last = stamped.event == Event::LinkFinished;
                    self.take(stamped);
                    if last {
                        break;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.progress.show(&self.link, &self.totals);
        }
        self.progress.erase();
    }

    fn take(&mut self, stamped: Stamped) {
        self.totals.add(&stamped.event);
        self.progress.note(&stamped.event);
        match &stamped.event {
            Event::LinkStarted { link, modules } => {
                self.link.clone_from(link);
                self.modules.clone_from(modules);
                self.recorded.clear();
            }
            Event::CompilerMessage { job, text } => {
                let block = messages::of_compiler(self.modules.get(*job).map(String::as_str), text);
                self.write(&block);
            }
            // lld hands our stdout on as its own, where scripts do not expect it.
            Event::CompilerStdout { job, bytes } => {
                let module = self.modules.get(*job).map(String::as_str);
                let text = String::from_utf8_lossy(bytes);
                self.write(&messages::of_compiler(module, &text));
            }
            Event::Warning { text, hint } => {
                if self.warned.insert(text.clone()) {
                    self.write(&messages::warning(text, hint.as_deref()));
                }
            }
            Event::Note { text } => tracing::info!("{text}"),
            Event::JobPlanned { .. }
            | Event::JobAdvanced { .. }
            | Event::ExecutedIn { .. }
            | Event::JobMeasured { .. }
            | Event::LinkDescribed(_)
            | Event::JobDescribed { .. }
            | Event::OutputsDescribed { .. }
            | Event::ActionBuilt { .. }
            | Event::RunsInPlace { .. }
            | Event::WaitedForSlots { .. }
            | Event::JobStarted { .. }
            | Event::JobStopped { .. }
            | Event::JobFinished { .. }
            | Event::VerifyStarted { .. }
            | Event::Verified { .. }
            | Event::Transferred { .. }
            | Event::Hashed { .. }
            | Event::Streaming { .. }
            | Event::FarmUnreachable
            | Event::LinkFinished => {}
        }
        if let Some(log) = &mut self.compact_log
            && log.take(&stamped).is_err()
        {
            self.compact_log = None;
        }
        let wanted = self.style.profile.is_some() || self.style.execution_log.is_some();
        if wanted && is_of_record(&stamped.event) {
            self.recorded.push(stamped);
        }
    }

    /// Writes one block at once, above the bar. An error means that stderr is not read.
    fn write(&mut self, block: &str) {
        let Self { progress, sink, .. } = self;
        progress.aside(|| {
            let _ = sink.write_all(block.as_bytes()).and_then(|()| sink.flush());
        });
    }

    fn finish(mut self, succeeded: bool) -> Totals {
        self.totals.elapsed = self.started.elapsed();
        self.write_files();
        if succeeded && !self.style.quiet {
            let line = format!("{}\n", summary(&self.totals));
            self.write(&line);
        }
        self.totals
    }

    fn write_files(&mut self) {
        if let Some(path) = self.style.profile.take() {
            let text = trace::trace(&self.link, &self.modules, &self.recorded);
            let bytes = trace::packed_as_named(text, &path);
            self.write_file("profile", &path, bytes);
        }
        if let Some(path) = self.style.execution_log.take() {
            let text = log::execution_log(&self.modules, &self.recorded);
            self.write_file("execution_log_json_file", &path, Ok(text.into_bytes()));
        }
        if let Some(path) = self.style.compact_log.take() {
            let log = self.compact_log.take().map(CompactLog::finish);
            let no_log = || Err(std::io::ErrorKind::OutOfMemory.into());
            let bytes = log.unwrap_or_else(no_log);
            self.write_file("execution_log_compact_file", &path, bytes);
        }
    }

    fn write_file(&mut self, option: &str, path: &Path, bytes: std::io::Result<Vec<u8>>) {
        let written = bytes.and_then(|bytes| crate::fs::write_whole(path, &bytes));
        if let Err(error) = written {
            let text = format!("`{option}` is not written: {error}");
            self.write(&messages::warning(&text, None));
        }
    }
}
