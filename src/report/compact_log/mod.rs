//! `execution_log_compact_file`: what each job ran, read and wrote, in the compact form of Bazel's
//! execution log, which its tools and the viewers of farms read.
//!
//! It is one zstd stream of length-delimited `tools.protos.ExecLogEntry`. Files are entries that
//! jobs refer to, so entries are encoded as soon as they are known, and a job is forgotten when it
//! is finished: a link of 30,000 jobs names millions of inputs.

mod clock;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use prost::Message as _;
use prost_types::Timestamp;

use self::clock::{JobClock, protobuf};
use super::record::runner;
use crate::events::{Event, JobDescription, JobId, JobStep, LinkDescription, Origin, Stamped};
use crate::interned_words::InternedWords;
use crate::pb::spawn::exec_log_entry::{
    File, InputSet, Invocation, Output, Spawn, Type, output::Type as OutputType,
};
use crate::pb::spawn::platform::Property;
use crate::pb::spawn::{Digest, EnvironmentVariable, ExecLogEntry, Platform, SpawnMetrics};

const MNEMONIC: &str = "ThinLTOBackend";
/// Speed matters more than size.
const LEVEL: i32 = 1;

/// The log of a running link.
pub(super) struct CompactLog {
    invocation_id: String,
    /// When the clock of the events began.
    began: SystemTime,
    out: zstd::stream::write::Encoder<'static, Vec<u8>>,
    last_id: u32,
    files: HashMap<(String, [u8; 32]), u32>,
    tools: u32,
    environment: Vec<EnvironmentVariable>,
    platform: Option<Platform>,
    words: InternedWords,
    modules: Vec<String>,
    jobs: HashMap<JobId, LoggedJob>,
}

/// A job that is not finished.
#[derive(Debug, Default)]
struct LoggedJob {
    words: Vec<u32>,
    inputs: u32,
    input_files: usize,
    input_bytes: u64,
    outputs: Vec<String>,
    key: Option<Digest>,
    /// Of the farm's form of the Action.
    farm_key: Option<Digest>,
    digests: Vec<([u8; 32], u64)>,
    here: JobClock,
    at_farm: JobClock,
}

impl CompactLog {
    /// The log of the invocation with this id, whose events are stamped from now on.
    pub(super) fn new(invocation_id: String) -> io::Result<Self> {
        Ok(Self {
            invocation_id,
            began: SystemTime::now(),
            out: zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?,
            last_id: 0,
            files: HashMap::new(),
            tools: 0,
            environment: Vec::new(),
            platform: None,
            words: InternedWords::default(),
            modules: Vec::new(),
            jobs: HashMap::new(),
        })
    }

    /// Takes what the log needs from an event.
    pub(super) fn take(&mut self, stamped: &Stamped) -> io::Result<()> {
        let at = stamped.at;
        match &stamped.event {
            // It begins again if a daemon is lost.
            Event::LinkStarted { modules, .. } => self.begin(modules)?,
            Event::LinkDescribed(link) => self.describe_link(link)?,
            Event::JobDescribed { job, description } => self.describe_job(*job, description)?,
            Event::OutputsDescribed { job, digests } => {
                self.job(*job).digests.clone_from(digests);
            }
            Event::ActionBuilt { job, action } => self.job(*job).farm_key = parsed(action),
            Event::JobAdvanced { job, on_farm, step } => {
                self.clock(*job, *on_farm).advance(*step, at);
            }
            Event::ExecutedIn { job, time } => self.clock(*job, true).executed = Some(*time),
            Event::JobStarted { job, origin } => {
                self.clock(*job, origin.is_farm())
                    .advance(JobStep::Execute, at);
            }
            Event::JobStopped { job, origin } => self.clock(*job, origin.is_farm()).stop(at),
            Event::JobFinished { job, origin } => {
                if let Some(logged) = self.jobs.remove(job) {
                    self.finish_job(*job, &logged, Some(*origin), at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The whole log. Jobs that began and have no result have failed.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut open: Vec<_> = std::mem::take(&mut self.jobs).into_iter().collect();
        open.retain(|(_, job)| job.here.has_run() || job.at_farm.has_run());
        open.sort_by_key(|(id, _)| *id);
        for (id, job) in open {
            self.finish_job(id, &job, None, Duration::ZERO)?;
        }
        self.out.finish()
    }

    fn begin(&mut self, modules: &[String]) -> io::Result<()> {
        *self = Self {
            began: self.began,
            modules: modules.to_vec(),
            ..Self::new(std::mem::take(&mut self.invocation_id))?
        };
        let invocation = Invocation {
            hash_function_name: "SHA-256".to_owned(),
            id: self.invocation_id.clone(),
        };
        self.entry(0, Type::Invocation(invocation))
    }

    fn describe_link(&mut self, link: &LinkDescription) -> io::Result<()> {
        let variables = link.environment.iter().cloned();
        self.environment = variables
            .map(|(name, value)| EnvironmentVariable { name, value })
            .collect();
        let properties = link.platform.iter().cloned();
        let properties: Vec<_> = properties
            .map(|(name, value)| Property { name, value })
            .collect();
        self.platform = (!properties.is_empty()).then_some(Platform { properties });
        if link.tools.is_empty() {
            return Ok(());
        }
        let mut input_ids = Vec::new();
        for tool in &link.tools {
            input_ids.push(self.file(&tool.path, Some((tool.hash, tool.size)))?);
        }
        self.tools = self.set(InputSet {
            input_ids,
            transitive_set_ids: Vec::new(),
        })?;
        Ok(())
    }

    fn describe_job(&mut self, id: JobId, job: &JobDescription) -> io::Result<()> {
        let mut input_ids = Vec::with_capacity(job.inputs.len());
        for input in &job.inputs {
            input_ids.push(self.file(&input.path, Some((input.hash, input.size)))?);
        }
        let transitive_set_ids = [self.tools].into_iter().filter(|id| *id != 0);
        let inputs = self.set(InputSet {
            input_ids,
            transitive_set_ids: transitive_set_ids.collect(),
        })?;
        let words = job.arguments.iter().map(|word| self.words.number(word));
        let words = words.collect();
        let logged = self.job(id);
        logged.words = words;
        logged.inputs = inputs;
        logged.input_files = job.inputs.len();
        logged.input_bytes = job.inputs.iter().map(|input| input.size).sum();
        logged.outputs.clone_from(&job.outputs);
        logged.key = job.key.map(digest);
        Ok(())
    }

    /// Without an origin the job has failed.
    fn finish_job(
        &mut self,
        id: JobId,
        job: &LoggedJob,
        origin: Option<Origin>,
        at: Duration,
    ) -> io::Result<()> {
        let mut outputs = Vec::new();
        if origin.is_some() {
            // What ran in place has written its outputs itself.
            let digests = job.digests.iter().copied().map(Some);
            let digests = digests.chain(std::iter::repeat(None));
            for (path, digest) in job.outputs.iter().zip(digests) {
                let id = self.file(path, digest)?;
                outputs.push(Output {
                    r#type: Some(OutputType::OutputId(id)),
                });
            }
        }
        let is_hermetic = job.key.is_some();
        let spawn = Spawn {
            args: self.words.spelled(&job.words),
            env_vars: self.environment.clone(),
            platform: self.platform.clone(),
            input_set_id: job.inputs,
            tool_set_id: self.tools,
            outputs,
            target_label: self.modules.get(id).cloned().unwrap_or_default(),
            mnemonic: MNEMONIC.to_owned(),
            exit_code: 0,
            status: origin.map_or("FAILED", |_| "").to_owned(),
            runner: origin.map_or("", runner).to_owned(),
            cache_hit: origin.is_some_and(Origin::is_cached),
            remotable: is_hermetic,
            cacheable: is_hermetic,
            remote_cacheable: is_hermetic,
            digest: job.farm_key.clone().or_else(|| job.key.clone()),
            metrics: Some(self.metrics(job, origin, at)),
        };
        self.entry(0, Type::Spawn(spawn))
    }

    fn metrics(&self, job: &LoggedJob, origin: Option<Origin>, at: Duration) -> SpawnMetrics {
        let is_farm = origin.is_some_and(Origin::is_farm);
        let (clock, other) = if is_farm {
            (&job.at_farm, &job.here)
        } else {
            (&job.here, &job.at_farm)
        };
        let mut metrics = SpawnMetrics {
            input_files: i64::try_from(job.input_files).unwrap_or(i64::MAX),
            input_bytes: i64::try_from(job.input_bytes).unwrap_or(i64::MAX),
            retry_time: protobuf(clock.lost + other.lost),
            ..SpawnMetrics::default()
        };
        if origin.is_some() {
            let start = clock.began.unwrap_or(at);
            metrics.start_time = Some(Timestamp::from(self.began + start));
            metrics.total_time = protobuf(at.saturating_sub(start));
            clock.split(at, &mut metrics);
        }
        metrics
    }

    fn job(&mut self, id: JobId) -> &mut LoggedJob {
        self.jobs.entry(id).or_default()
    }

    fn clock(&mut self, id: JobId, on_farm: bool) -> &mut JobClock {
        let job = self.job(id);
        if on_farm {
            &mut job.at_farm
        } else {
            &mut job.here
        }
    }

    /// The entry of a file with these contents.
    fn file(&mut self, path: &str, contents: Option<([u8; 32], u64)>) -> io::Result<u32> {
        let known = contents.map(|(hash, _)| (path.to_owned(), hash));
        if let Some(id) = known.as_ref().and_then(|known| self.files.get(known)) {
            return Ok(*id);
        }
        let id = self.next_id();
        let file = File {
            path: path.to_owned(),
            digest: contents.map(digest),
        };
        self.entry(id, Type::File(file))?;
        self.files.extend(known.map(|known| (known, id)));
        Ok(id)
    }

    fn set(&mut self, set: InputSet) -> io::Result<u32> {
        let id = self.next_id();
        self.entry(id, Type::InputSet(set))?;
        Ok(id)
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    fn entry(&mut self, id: u32, entry: Type) -> io::Result<()> {
        let entry = ExecLogEntry {
            id,
            r#type: Some(entry),
        };
        self.out.write_all(&entry.encode_length_delimited_to_vec())
    }
}

fn digest((hash, size): ([u8; 32], u64)) -> Digest {
    Digest {
        hash: crate::digest::hex(&hash),
        size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
    }
}

/// Reads `hash/size`.
fn parsed(action: &str) -> Option<Digest> {
    let (hash, size) = action.split_once('/')?;
    Some(Digest {
        hash: hash.to_owned(),
        size_bytes: size.parse().ok()?,
    })
}
