//! What happens in a link, as typed values with the time since the link began.
//!
//! The engine prints nothing; [`report`](crate::report) turns events into the progress bar,
//! messages, the summary and logs. Only this module reads the clock for the record.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Position of a job in the job file.
pub type JobId = usize;

/// Where a job's object came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// The disk cache of this machine.
    DiskCache,
    /// The farm's action cache.
    RemoteCache,
    /// Another job of this link, whose action is the same.
    Shared,
    /// Executed by a worker of the farm.
    Remote,
    /// Compiled on this machine, as the action says.
    Local,
    /// Compiled on this machine, in place and uncached, because the action could not say all that
    /// the compile reads.
    InPlace,
}

impl Origin {
    /// Whether nothing had to be executed.
    #[must_use]
    pub fn is_cached(self) -> bool {
        matches!(self, Self::DiskCache | Self::RemoteCache | Self::Shared)
    }

    /// Whether the farm had it or made it.
    #[must_use]
    pub fn is_farm(self) -> bool {
        matches!(self, Self::Remote | Self::RemoteCache)
    }
}

/// What an attempt at a job is doing. On this machine it executes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobStep {
    /// Asks a cache for the result.
    LookUp,
    /// Sends what the farm lacks.
    Upload,
    /// Waits for a worker.
    Queue,
    /// The compiler runs.
    Execute,
    /// Receives the outputs from the farm.
    Fetch,
    /// Writes the outputs for the linker and into the disk cache.
    Write,
}

/// What compiling a cached result again has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The fresh outputs are the cached ones.
    Equal,
    /// Two fresh compiles give the same outputs, and not the cached ones.
    Wrong,
    /// Two fresh compiles differ: nothing can be said of the cached result.
    Nondeterministic,
    /// There is no fresh compile to compare with.
    Unverified,
}

/// How many jobs came from where, and what became of results that were verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginCounts {
    pub disk_cache: usize,
    pub remote_cache: usize,
    /// Jobs that took the result of another one of their link.
    #[serde(default)]
    pub shared: usize,
    pub remote: usize,
    pub local: usize,
    pub in_place: usize,
    /// Of those from caches, the ones that a fresh compile confirmed.
    #[serde(default)]
    pub verified: usize,
    /// Of those from caches, the ones that were wrong.
    #[serde(default)]
    pub wrong: usize,
}

impl OriginCounts {
    pub fn add(&mut self, origin: Origin) {
        *match origin {
            Origin::DiskCache => &mut self.disk_cache,
            Origin::RemoteCache => &mut self.remote_cache,
            Origin::Shared => &mut self.shared,
            Origin::Remote => &mut self.remote,
            Origin::Local => &mut self.local,
            Origin::InPlace => &mut self.in_place,
        } += 1;
    }

    pub fn add_verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Equal => self.verified += 1,
            Verdict::Wrong => self.wrong += 1,
            Verdict::Nondeterministic | Verdict::Unverified => {}
        }
    }

    /// All jobs.
    #[must_use]
    pub fn total(&self) -> usize {
        self.cached() + self.remote + self.local + self.in_place
    }

    /// Jobs that were not run: their object came from a cache or from another job with the same
    /// action.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.disk_cache + self.remote_cache + self.shared
    }
}

impl AddAssign<&Self> for OriginCounts {
    fn add_assign(&mut self, other: &Self) {
        self.disk_cache += other.disk_cache;
        self.remote_cache += other.remote_cache;
        self.shared += other.shared;
        self.remote += other.remote;
        self.local += other.local;
        self.in_place += other.in_place;
        self.verified += other.verified;
        self.wrong += other.wrong;
    }
}

/// What all jobs of a link share, for a log of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDescription {
    pub environment: Vec<(String, String)>,
    pub platform: Vec<(String, String)>,
    /// The compiler and what it loads.
    pub tools: Vec<DescribedFile>,
}

/// What a job runs, reads and writes, for a log of its link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDescription {
    pub arguments: Vec<String>,
    /// Besides the tools; unknown of a job that runs in place.
    pub inputs: Vec<DescribedFile>,
    pub outputs: Vec<String>,
    /// The digest of the Action: hash and size. `None` if the job runs in place.
    pub key: Option<([u8; 32], u64)>,
}

/// A file and the digest of its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedFile {
    pub path: String,
    pub hash: [u8; 32],
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The job file is read. `link` is the linker's output; `modules` are the jobs' modules as the
    /// user knows them.
    LinkStarted { link: String, modules: Vec<String> },
    /// The job is checked and has its key, of which `key` holds the first bytes; `None` if it runs
    /// in place. Its inputs are `input_bytes` long, and planning it took `time`.
    JobPlanned {
        job: JobId,
        key: Option<[u8; 8]>,
        input_bytes: u64,
        time: Duration,
    },
    /// The attempt on the farm, or else the one here, has come to `step`.
    JobAdvanced {
        job: JobId,
        on_farm: bool,
        step: JobStep,
    },
    /// A worker has compiled the job in `time`, by its own clock.
    ExecutedIn { job: JobId, time: Duration },
    /// The sizes of what the job wrote, and of its compiler, where that was measured.
    JobMeasured {
        job: JobId,
        output_bytes: u64,
        peak_memory: Option<u64>,
    },
    /// What all jobs share, if the link is logged.
    LinkDescribed(Box<LinkDescription>),
    /// What the job runs, reads and writes, if the link is logged.
    JobDescribed {
        job: JobId,
        description: Box<JobDescription>,
    },
    /// Hash and size of each output, if the link is logged.
    OutputsDescribed {
        job: JobId,
        digests: Vec<([u8; 32], u64)>,
    },
    /// The digest of the job's action is known: `hash/size`.
    ActionBuilt { job: JobId, action: String },
    /// The job runs in place; `cause` says why in a few words (`-gsplit-dwarf`).
    RunsInPlace { job: JobId, cause: String },
    /// A compiler, or a remote execution, has begun.
    JobStarted { job: JobId, origin: Origin },
    /// A started one has ended without giving the job its object: it failed, or another was faster.
    JobStopped { job: JobId, origin: Origin },
    /// The object is where the linker looks for it.
    JobFinished { job: JobId, origin: Origin },
    /// The job's object came from a cache, and its compile for comparison has begun.
    VerifyStarted { job: JobId },
    /// That compile has ended. One that gave way to a job begins anew.
    Verified { job: JobId, verdict: Verdict },
    /// What the compiler wrote to stderr, with the user's own file names. Shown for failed and for
    /// good jobs alike.
    CompilerMessage { job: JobId, text: String },
    /// What the compiler wrote to stdout.
    CompilerStdout { job: JobId, bytes: Vec<u8> },
    /// Something the user should know and may want to change; the link goes on.
    Warning { text: String, hint: Option<String> },
    /// The address of the page where a build can be seen from now on.
    Streaming { page: String },
    /// For `RELTO_LOG=info` and finer only.
    Note { text: String },
    /// Files that were read to digest them, and their bytes.
    Hashed { files: u64, bytes: u64 },
    /// How long this machine's slots were idle, on average, because others had the permits: make's
    /// recipes, or other links.
    WaitedForSlots { time: Duration, of_make: bool },
    /// Nothing comes after this.
    LinkFinished,
    /// The farm cannot be reached, or has ceased to answer: the link, or a job of it, does without.
    FarmUnreachable,
    /// Bytes sent to (`up`) and received from the farm.
    Transferred { up: u64, down: u64 },
}

impl Event {
    /// Whether only timings are made from it.
    #[must_use]
    pub fn is_for_timings(&self) -> bool {
        matches!(
            self,
            Self::JobPlanned { .. }
                | Self::JobAdvanced { .. }
                | Self::ExecutedIn { .. }
                | Self::JobMeasured { .. }
        )
    }
}

/// An event and when it happened, counted from the start of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    pub at: Duration,
    pub event: Event,
}

/// The engine's end of the channel. Cheap to clone; sending never blocks and never fails.
#[derive(Debug, Clone)]
pub struct Events {
    start: Instant,
    sink: EventSink,
}

/// Sees every event before its reader does.
type Observer = dyn Fn(Duration, &Event) + Send + Sync;

#[derive(Clone)]
enum EventSink {
    Discarded,
    Channel(mpsc::Sender<Stamped>),
    Function(Arc<dyn Fn(Event) + Send + Sync>),
    Observed(Arc<Observer>, Box<EventSink>),
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discarded => "Discarded",
            Self::Channel(_) => "Channel",
            Self::Function(_) => "Function",
            Self::Observed(..) => "Observed",
        })
    }
}

impl EventSink {
    /// Passes on `event`, which happens at `at`.
    fn send(&self, at: Duration, event: Event) {
        match self {
            Self::Discarded => {}
            // A receiver that is gone has stopped reporting; the link does not stop for that.
            Self::Channel(sender) => drop(sender.send(Stamped { at, event })),
            Self::Function(consume) => consume(event),
            Self::Observed(observe, next) => {
                observe(at, &event);
                next.send(at, event);
            }
        }
    }
}

impl Events {
    /// A channel whose receiver ends when the last clone of the sender is dropped.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Stamped>) {
        let (sender, receiver) = mpsc::channel();
        let events = Self {
            start: now(),
            sink: EventSink::Channel(sender),
        };
        (events, receiver)
    }

    /// Events without a reader.
    #[must_use]
    pub fn discarded() -> Self {
        Self {
            start: now(),
            sink: EventSink::Discarded,
        }
    }

    /// Events that are passed to `consume`, which must not block.
    #[must_use]
    pub fn to_function(consume: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self {
            start: now(),
            sink: EventSink::Function(Arc::new(consume)),
        }
    }

    /// The time since the start of the link.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The same events, which `observe` sees first; it must not block.
    #[must_use]
    pub fn observed(self, observe: impl Fn(Duration, &Event) + Send + Sync + 'static) -> Self {
        Self {
            start: self.start,
            sink: EventSink::Observed(Arc::new(observe), Box::new(self.sink)),
        }
    }

    pub fn send(&self, event: Event) {
        if !matches!(self.sink, EventSink::Discarded) {
            self.sink.send(self.start.elapsed(), event);
        }
    }

    pub fn warning(&self, text: impl Into<String>, hint: Option<&str>) {
        self.send(Event::Warning {
            text: text.into(),
            hint: hint.map(str::to_owned),
        });
    }

    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note { text: text.into() });
    }
}

/// A time of the record in whole microseconds.
#[must_use]
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The moment that durations in the record are counted from.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}
