//! One invocation as build events: what is announced at its start, what happens meanwhile, and an
//! end in which every announced event comes, as itself or as aborted.
//!
//! The jobs of a link are no targets and no events of their own, unless they fail: with thousands
//! of either, no viewer shows a page. A farm knows them by the metadata of its calls.

mod ending;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use ending::close;

use super::ids;
use super::options::BesOptions;
use super::queue::EventQueue;
use super::text::{label, published};
use crate::events::{Event, JobId, OriginCounts};
use crate::pb::build_event_stream::build_event::Payload;
use crate::pb::build_event_stream::workspace_status::Item;
use crate::pb::build_event_stream::{
    BuildEvent, BuildEventId, BuildMetadata, BuildStarted, Configuration, OptionsParsed,
    PatternExpanded, Progress, TargetConfigured, WorkspaceStatus,
};
use crate::pb::command_line::command_line_section::SectionType;
use crate::pb::command_line::{
    ChunkList, CommandLine, CommandLineSection, Option as Flag, OptionList,
};

/// Failed actions that get an event.
const MOST_FAILURES: usize = 100;
/// Text of one progress event, and of all.
const PROGRESS_PIECE: usize = 10 << 10;
const PROGRESS_TEXT: usize = 1 << 20;
/// Of what a failed compiler printed, and of the reason.
const LONGEST_STDERR: usize = 16 << 10;
const LONGEST_MESSAGE: usize = 1 << 10;
/// After this much time without progress there is a line all the same: servers end streams that are
/// silent for many minutes.
const SIGN_OF_LIFE: Duration = Duration::from_mins(1);
/// The id of the one configuration.
const CONFIGURATION: &str = "thinlto";
const MNEMONIC: &str = "ThinLTOBackend";

/// How an invocation has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded,
    /// With the reason.
    Failed(String),
    /// The farm did not do what this machine may not do instead.
    FarmFailed(String),
    Interrupted,
}

/// An action that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAction {
    pub module: String,
    pub exit_code: i32,
    pub stderr: String,
    pub reason: String,
}

/// An invocation under way.
#[derive(Debug)]
pub(super) struct InvocationEvents {
    queue: Arc<EventQueue>,
    dir: PathBuf,
    label: String,
    started: SystemTime,
    /// The number of the next progress event, which is announced.
    progress: i32,
    /// Text for it.
    log: String,
    log_bytes: usize,
    left_out: usize,
    last_progress: SystemTime,
    jobs: usize,
    counts: OriginCounts,
    running: HashMap<JobId, SystemTime>,
    first_started: Option<SystemTime>,
    last_ended: Option<SystemTime>,
    transferred: (u64, u64),
    failures: Vec<FailedAction>,
    more_failures: usize,
}

impl InvocationEvents {
    /// Begins the invocation `command`, which makes `output` in `dir`.
    pub(super) fn begin(
        queue: Arc<EventQueue>,
        options: &BesOptions,
        command: &str,
        output: &str,
        dir: &Path,
        at: SystemTime,
    ) -> Self {
        let invocation = Self {
            queue,
            dir: dir.to_owned(),
            label: label(output, dir),
            started: at,
            progress: 0,
            log: String::new(),
            log_bytes: 0,
            left_out: 0,
            last_progress: at,
            jobs: 0,
            counts: OriginCounts::default(),
            running: HashMap::new(),
            first_started: None,
            last_ended: None,
            transferred: (0, 0),
            failures: Vec::new(),
            more_failures: 0,
        };
        invocation.open(options, command);
        invocation
    }

    /// Announces everything that will come, and says what is known already.
    fn open(&self, options: &BesOptions, command: &str) {
        let shown: Vec<(String, String)> = options
            .shown
            .iter()
            .map(|(name, value)| (name.clone(), published(value, &self.dir, LONGEST_MESSAGE)))
            .collect();
        let flags: Vec<String> = shown
            .iter()
            .map(|(name, value)| format!("--{name}={value}"))
            .collect();
        self.event(
            ids::started(),
            vec![
                ids::command_line("original"),
                ids::command_line("canonical"),
                ids::options_parsed(),
                ids::workspace_status(),
                ids::build_metadata(),
                ids::configuration(CONFIGURATION),
                ids::pattern(&self.label),
                ids::progress(0),
                ids::build_finished(),
            ],
            Payload::Started(self.start(options, command, &flags)),
        );
        for name in ["original", "canonical"] {
            let line = command_line(name, command, &self.label, &shown);
            self.leaf(
                ids::command_line(name),
                Payload::StructuredCommandLine(line),
            );
        }
        let parsed = OptionsParsed {
            cmd_line: flags.clone(),
            explicit_cmd_line: flags,
            tool_tag: "relto".to_owned(),
        };
        self.leaf(ids::options_parsed(), Payload::OptionsParsed(parsed));
        self.describe(options);
        self.open_target();
    }

    fn start(&self, options: &BesOptions, command: &str, flags: &[String]) -> BuildStarted {
        let dir = self.dir.file_name().unwrap_or_default();
        BuildStarted {
            uuid: options.transport.caller.invocation_id.clone(),
            start_time_millis: millis(self.started),
            build_tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            // Some servers keep nothing of an invocation without options.
            options_description: format!("--tool_tag=relto {}", flags.join(" ")),
            command: command.to_owned(),
            working_directory: ".".to_owned(),
            // Where it is concerns this machine alone.
            workspace_directory: dir.to_string_lossy().into_owned(),
            start_time: Some(timestamp(self.started)),
        }
    }

    /// Who builds what, with which kind of machine.
    fn describe(&self, options: &BesOptions) {
        let items = options.status.iter();
        let item = items.map(|(key, value)| Item {
            key: key.clone(),
            value: published(value, &self.dir, LONGEST_MESSAGE),
        });
        let item = item.collect();
        let status = Payload::WorkspaceStatus(WorkspaceStatus { item });
        self.leaf(ids::workspace_status(), status);
        let metadata = [("TAGS".to_owned(), "relto,thinlto".to_owned())].into();
        let metadata = Payload::BuildMetadata(BuildMetadata { metadata });
        self.leaf(ids::build_metadata(), metadata);
        let processor = std::env::consts::ARCH.to_owned();
        let configuration = Configuration {
            mnemonic: CONFIGURATION.to_owned(),
            platform_name: std::env::consts::OS.to_owned(),
            cpu: processor.clone(),
            make_variable: [("TARGET_CPU".to_owned(), processor)].into(),
        };
        self.leaf(
            ids::configuration(CONFIGURATION),
            Payload::Configuration(configuration),
        );
    }

    /// The one target: what is linked.
    fn open_target(&self) {
        let label = &self.label;
        self.event(
            ids::pattern(label),
            vec![ids::target_configured(label)],
            Payload::Expanded(PatternExpanded {}),
        );
        self.event(
            ids::target_configured(label),
            vec![ids::target_completed(label, CONFIGURATION)],
            Payload::Configured(TargetConfigured {
                // What the linker makes of the objects is not known here.
                target_kind: "thinlto_backends".to_owned(),
            }),
        );
    }

    /// Takes part in what the engine says.
    pub(super) fn take(&mut self, event: &Event, at: SystemTime) {
        match event {
            Event::LinkStarted { modules, .. } => {
                // It begins again if a daemon is lost.
                self.jobs = modules.len();
                self.counts = OriginCounts::default();
                self.running.clear();
            }
            Event::JobStarted { job, .. } => {
                self.running.entry(*job).or_insert(at);
                self.first_started.get_or_insert(at);
            }
            Event::JobFinished { job, origin } => {
                self.counts.add(*origin);
                if self.running.remove(job).is_some() {
                    self.last_ended = Some(at);
                }
            }
            Event::Transferred { up, down } => {
                self.transferred.0 += up;
                self.transferred.1 += down;
            }
            Event::CompilerMessage { text, .. } => self.log(text, at),
            Event::Warning { text, .. } => self.log(&format!("warning: {text}"), at),
            Event::FarmUnreachable => self.log("the farm cannot be reached", at),
            _ => {}
        }
    }

    /// Takes part in what one of the links of a build says. Each has its own numbers of jobs.
    pub(super) fn take_of_build(&mut self, event: &Event, at: SystemTime) {
        match event {
            Event::LinkStarted { modules, .. } => self.jobs += modules.len(),
            Event::JobStarted { .. } => {
                self.first_started.get_or_insert(at);
            }
            Event::JobFinished { origin, .. } => {
                self.counts.add(*origin);
                self.last_ended = Some(at);
            }
            event => self.take(event, at),
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    pub(super) fn add_failure(&mut self, failed: FailedAction) {
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(failed);
        } else {
            self.more_failures += 1;
        }
    }

    /// Called now and then: sends what has been logged, or a sign of life.
    pub(super) fn tick(&mut self, at: SystemTime) {
        let since = at.duration_since(self.last_progress).unwrap_or_default();
        if self.log.is_empty() && since >= SIGN_OF_LIFE {
            self.log = format!("{}\n", self.summary());
        }
        self.flush(at);
    }

    fn log(&mut self, text: &str, at: SystemTime) {
        // Where there is no more room, text costs nothing.
        if self.left_out > 0 {
            self.left_out += 1;
            return;
        }
        let line = published(text, &self.dir, PROGRESS_PIECE);
        if self.log_bytes + line.len() > PROGRESS_TEXT {
            self.left_out += 1;
            return;
        }
        self.log_bytes += line.len();
        self.log.push_str(line.trim_end());
        self.log.push('\n');
        if self.log.len() >= PROGRESS_PIECE {
            self.flush(at);
        }
    }

    /// Sends what has been logged. It announces its successor, so that there is always one to come.
    fn flush(&mut self, at: SystemTime) {
        if self.log.is_empty() {
            return;
        }
        let next = self.progress.wrapping_add(1);
        let event = BuildEvent {
            id: Some(ids::progress(self.progress)),
            children: vec![ids::progress(next)],
            payload: Some(stderr(std::mem::take(&mut self.log))),
            last_message: false,
        };
        if self.queue.push_optional(&event, at) {
            self.progress = next;
        } else {
            self.left_out += 1;
        }
        self.last_progress = at;
    }

    fn summary(&self) -> String {
        format!("{} of {} jobs", self.counts.total(), self.jobs)
    }

    /// An event of the start that announces no other.
    fn leaf(&self, id: BuildEventId, payload: Payload) {
        self.event(id, Vec::new(), payload);
    }

    fn event(&self, id: BuildEventId, children: Vec<BuildEventId>, payload: Payload) {
        self.event_at(id, children, payload, false, self.started);
    }

    fn event_at(
        &self,
        id: BuildEventId,
        children: Vec<BuildEventId>,
        payload: Payload,
        last_message: bool,
        at: SystemTime,
    ) {
        let event = BuildEvent {
            id: Some(id),
            children,
            payload: Some(payload),
            last_message,
        };
        self.queue.push(&event, at);
    }
}

fn command_line(name: &str, command: &str, label: &str, shown: &[(String, String)]) -> CommandLine {
    let chunks = |label: &str, chunk: &str| CommandLineSection {
        section_label: label.to_owned(),
        section_type: Some(SectionType::ChunkList(ChunkList {
            chunk: vec![chunk.to_owned()],
        })),
    };
    let flags = shown.iter().map(|(name, value)| Flag {
        combined_form: format!("--{name}={value}"),
        option_name: name.clone(),
        option_value: value.clone(),
    });
    let options = CommandLineSection {
        section_label: "command options".to_owned(),
        section_type: Some(SectionType::OptionList(OptionList {
            option: flags.collect(),
        })),
    };
    CommandLine {
        command_line_label: name.to_owned(),
        sections: vec![
            chunks("executable", "relto"),
            chunks("command", command),
            options,
            chunks("residual", label),
        ],
    }
}

fn stderr(text: String) -> Payload {
    Payload::Progress(Progress {
        stdout: String::new(),
        stderr: text,
    })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
