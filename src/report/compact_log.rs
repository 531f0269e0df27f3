//! `execution_log_compact_file`: what each job ran, read and wrote, in the compact form of Bazel's
//! execution log, which its tools and the viewers of farms read.
//!
//! It is one zstd stream of length-delimited `tools.protos.ExecLogEntry`. Files are entries that
//! jobs refer to, so entries are encoded as soon as they are known, and a job is forgotten when it
//! is finished: a link of 30,000 jobs names millions of inputs.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use prost::Message as _;
use prost_types::Timestamp;

use super::record::runner;
use crate::events::{Event, JobDescription, JobId, JobStep, LinkDescription, Origin, Stamped};
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

/// The time that a job has taken on one side.
#[derive(Debug, Default)]
struct JobClock {
    /// When the attempt under way began.
    began: Option<Duration>,
    steps: Vec<(JobStep, Duration)>,
    executed: Option<Duration>,
    /// Of attempts that have ended without a result.
    lost: Duration,
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

impl JobClock {
    fn has_run(&self) -> bool {
        self.began.is_some() || self.lost > Duration::ZERO
    }

    fn advance(&mut self, step: JobStep, at: Duration) {
        self.began.get_or_insert(at);
        if self.steps.last().is_none_or(|(last, _)| *last != step) {
            self.steps.push((step, at));
        }
    }

    fn stop(&mut self, at: Duration) {
        if let Some(began) = self.began.take() {
            self.lost += at.saturating_sub(began);
        }
        self.steps.clear();
        self.executed = None;
    }

    /// Splits the time until `at` into steps.
    fn split(&self, at: Duration, metrics: &mut SpawnMetrics) {
        let ends = self.steps.iter().skip(1).map(|(_, start)| *start);
        let is_told = self.steps.iter().any(|(step, _)| *step == JobStep::Execute);
        for ((step, start), end) in self.steps.iter().zip(ends.chain([at])) {
            let mut time = end.saturating_sub(*start);
            let field = match step {
                JobStep::LookUp => &mut metrics.network_time,
                JobStep::Upload => &mut metrics.upload_time,
                JobStep::Queue => {
                    // Not every server says when a worker begins.
                    let executed = self.executed.filter(|_| !is_told);
                    let executed = executed.unwrap_or_default().min(time);
                    if executed > Duration::ZERO {
                        metrics.execution_wall_time = protobuf(executed);
                    }
                    time -= executed;
                    &mut metrics.queue_time
                }
                JobStep::Execute => &mut metrics.execution_wall_time,
                JobStep::Fetch => &mut metrics.fetch_time,
                JobStep::Write => &mut metrics.process_outputs_time,
            };
            *field = protobuf(time);
        }
    }
}

/// Words that are kept once, because the jobs of a link have nearly all of them in common.
#[derive(Debug, Default)]
struct InternedWords {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl InternedWords {
    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).expect("fewer words than bytes of memory");
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    fn spelled(&self, numbers: &[u32]) -> Vec<String> {
        let words = numbers.iter().map(|number| &self.words[*number as usize]);
        words.cloned().collect()
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

fn protobuf(time: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::DescribedFile;

    fn entries(log: &[u8]) -> Vec<ExecLogEntry> {
        let bytes = zstd::stream::decode_all(log).expect("zstd");
        let mut rest = &bytes[..];
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.push(ExecLogEntry::decode_length_delimited(&mut rest).expect("an entry"));
        }
        entries
    }

    fn log(events: Vec<(u64, Event)>) -> Vec<ExecLogEntry> {
        let mut log = CompactLog::new("some-id".to_owned()).expect("zstd");
        for (at, event) in events {
            let at = Duration::from_millis(at);
            log.take(&Stamped { at, event }).expect("memory");
        }
        entries(&log.finish().expect("memory"))
    }

    fn file(path: &str) -> DescribedFile {
        DescribedFile {
            path: path.to_owned(),
            hash: [path.as_bytes()[0]; 32],
            size: 7,
        }
    }

    fn described(job: JobId, inputs: &[&str]) -> Event {
        let description = JobDescription {
            arguments: vec!["clang".to_owned(), inputs[0].to_owned()],
            inputs: inputs.iter().map(|path| file(path)).collect(),
            outputs: vec![format!("{}.native.o", inputs[0])],
            key: Some(([9; 32], 100)),
        };
        Event::JobDescribed {
            job,
            description: Box::new(description),
        }
    }

    fn started(modules: &[&str]) -> Event {
        Event::LinkStarted {
            link: "app".to_owned(),
            modules: modules.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    fn millis(time: Option<&prost_types::Duration>) -> i32 {
        time.map_or(0, |time| time.nanos / 1_000_000)
    }

    #[test]
    fn files_are_named_once_and_before_the_jobs_that_read_them() {
        let finished = |job, origin| Event::JobFinished { job, origin };
        let link = LinkDescription {
            tools: vec![file("relto/tc/bin/clang")],
            ..LinkDescription::default()
        };
        let entries = log(vec![
            (0, started(&["a", "bb"])),
            (1, Event::LinkDescribed(Box::new(link))),
            (2, described(0, &["a", "bb"])),
            (3, described(1, &["bb"])),
            (4, finished(0, Origin::DiskCache)),
            (5, finished(1, Origin::Local)),
        ]);
        let mut known = Vec::new();
        let mut paths = Vec::new();
        for entry in &entries {
            let referred = match entry.r#type.as_ref().expect("a type") {
                Type::Invocation(invocation) => {
                    assert_eq!(invocation.id, "some-id");
                    Vec::new()
                }
                Type::File(file) => {
                    paths.push(file.path.as_str());
                    Vec::new()
                }
                Type::InputSet(set) => [&set.input_ids[..], &set.transitive_set_ids].concat(),
                Type::Spawn(spawn) => {
                    assert!(spawn.cacheable && spawn.status.is_empty());
                    assert_eq!(spawn.cache_hit, spawn.target_label == "a");
                    vec![spawn.input_set_id, spawn.tool_set_id]
                }
            };
            assert!(referred.iter().all(|id| known.contains(id)), "{entry:?}");
            known.push(entry.id);
        }
        let expected = ["relto/tc/bin/clang", "a", "bb", "a.native.o", "bb.native.o"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn the_time_of_a_job_is_split_into_its_steps() {
        let advanced = |step| Event::JobAdvanced {
            job: 0,
            on_farm: true,
            step,
        };
        let time = Duration::from_millis(30);
        let (local, remote) = (Origin::Local, Origin::Remote);
        let entries = log(vec![
            (0, started(&["a"])),
            (0, described(0, &["a"])),
            (
                1,
                Event::JobStarted {
                    job: 0,
                    origin: local,
                },
            ),
            (
                4,
                Event::JobStopped {
                    job: 0,
                    origin: local,
                },
            ),
            (5, advanced(JobStep::Upload)),
            (10, advanced(JobStep::Queue)),
            (50, Event::ExecutedIn { job: 0, time }),
            (50, advanced(JobStep::Fetch)),
            (
                60,
                Event::JobFinished {
                    job: 0,
                    origin: remote,
                },
            ),
        ]);
        let Some(Type::Spawn(spawn)) = &entries.last().expect("a job").r#type else {
            panic!("{entries:?}");
        };
        let metrics = spawn.metrics.as_ref().expect("metrics");
        let times = [
            &metrics.total_time,
            &metrics.upload_time,
            &metrics.queue_time,
            &metrics.execution_wall_time,
            &metrics.fetch_time,
            &metrics.retry_time,
        ];
        let times = times.map(|time| millis(time.as_ref()));
        assert_eq!(times, [55, 5, 10, 30, 10, 3]);
    }

    #[test]
    fn a_job_that_imports_from_fifty_modules_takes_less_than_500_bytes() {
        let jobs = 2_000;
        let hash = |number: usize| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let named = |number: usize| DescribedFile {
            path: format!("lib/Transforms/module{number}.o"),
            hash: hash(number),
            size: 100_000,
        };
        let modules = (0..jobs).map(|job| named(job).path).collect();
        let link = "app".to_owned();
        let mut events = vec![(0, Event::LinkStarted { link, modules })];
        for job in 0..jobs {
            let random = (0..50).map(|nth| usize::from(hash(job * 50 + nth)[0]) * 7 + nth);
            let description = JobDescription {
                arguments: (0..40).map(|word| format!("-fword-{word}")).collect(),
                inputs: random.map(|number| named(number % jobs)).collect(),
                outputs: vec![format!("{}.native.o", named(job).path)],
                key: Some((hash(job + jobs), 142)),
            };
            let description = Box::new(description);
            events.push((1, Event::JobDescribed { job, description }));
            let digests = vec![(hash(job + 2 * jobs), 5_000)];
            events.push((2, Event::OutputsDescribed { job, digests }));
            let origin = Origin::DiskCache;
            events.push((2, Event::JobFinished { job, origin }));
        }
        let mut log = CompactLog::new("some-id".to_owned()).expect("zstd");
        for (at, event) in events {
            let at = Duration::from_millis(at);
            log.take(&Stamped { at, event }).expect("memory");
        }
        let bytes = log.finish().expect("memory").len();
        assert!(bytes < jobs * 500, "{} bytes a job", bytes / jobs);
    }

    #[test]
    fn a_job_that_began_and_has_no_result_has_failed_and_others_are_not_named() {
        let origin = Origin::Local;
        let entries = log(vec![
            (0, started(&["a", "bb"])),
            (1, described(0, &["a"])),
            (1, described(1, &["bb"])),
            (2, Event::JobStarted { job: 1, origin }),
            (3, Event::JobStopped { job: 1, origin }),
        ]);
        let spawns: Vec<_> = entries
            .iter()
            .filter_map(|entry| match &entry.r#type {
                Some(Type::Spawn(spawn)) => Some((&*spawn.target_label, &*spawn.status)),
                _ => None,
            })
            .collect();
        assert_eq!(spawns, [("bb", "FAILED")]);
    }
}
