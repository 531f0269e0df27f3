//! Servers that send without end: what is no answer, what is no end of one, what each side of a
//! connection must answer. A link ends with its objects when its own limits say so, and at once when
//! it is told to end.

mod http1;
mod http2;
mod tls;

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::internals::task::in_parallel;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::flood::FloodServer;
use crate::support::memory;
use crate::support::program::generated;
use crate::support::remote::here;
use crate::support::saved::{Saved, leftovers};
use crate::support::skip::is_long;

/// No link may take longer, on whatever machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// Bytes of memory that no link may take.
const MOST_MEMORY: u64 = 256 << 20;

/// What a link may take of the processors' time once it is told to end, or has all objects, where it
/// waits for nothing. The load of the machine does not count in it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A link that is being made.
struct Begun {
    saved: Saved,
    child: Child,
    messages: tempfile::NamedTempFile,
    /// Bytes of memory at most.
    peak: u64,
    /// Time of processors so far.
    worked: Duration,
}

impl Begun {
    fn new(environment: &[(&str, String)]) -> Self {
        let saved = Saved::new(&generated(3));
        let mut command = saved.command();
        here().apply(&mut command);
        command.env("RELTO_DISK_CACHE", "off");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let messages = tempfile::NamedTempFile::new().expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(messages.reopen().expect("opened again"));
        Self {
            child: command.spawn().expect("relto starts"),
            messages,
            saved,
            peak: 0,
            worked: Duration::ZERO,
        }
    }

    fn signal(&self, signal: Signal) {
        // It may be over.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// How it ends; `None` if it does not.
    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status.code().unwrap_or(-1));
            }
            self.peak = self.peak.max(memory::most(self.child.id()).unwrap_or(0));
            self.worked = worked(&self.child).unwrap_or(self.worked);
            thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
        self.child.wait().expect("a child of ours");
        None
    }

    fn stderr(&self) -> String {
        let bytes = fs::read(self.messages.path()).expect("read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What is wrong with its end.
    fn complaint(&mut self, most: Duration) -> Option<String> {
        let objects = self.saved.objects();
        let began = Instant::now();
        let is_over = |link: &mut Self| !matches!(link.child.try_wait(), Ok(None));
        while !objects.iter().all(|path| path.exists()) && !is_over(self) {
            if began.elapsed() > DEADLINE {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let before = worked(&self.child);
        let code = self.ended();
        let after = self.worked.saturating_sub(before.unwrap_or(self.worked));
        if after > most {
            return Some(format!("it goes on for {after:?}"));
        }
        if code != Some(0) {
            return Some(format!("it ends with {code:?}: {}", self.stderr()));
        }
        if self.peak > MOST_MEMORY {
            return Some(format!("{} MB of memory", self.peak >> 20));
        }
        let mut wrong = objects.iter().zip(&self.saved.in_place);
        let wrong = wrong.find(|(path, object)| fs::read(path).ok().as_ref() != Some(object));
        wrong.map(|(path, _)| format!("`{}` is not clang's: {}", path.display(), self.stderr()))
    }
}

/// What a process has taken of the processors' time; `None` once it is over.
fn worked(child: &Child) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    let (_, numbers) = stat.rsplit_once(')')?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    let ticks: u64 = numbers[11].parse::<u64>().ok()? + numbers[12].parse::<u64>().ok()?;
    (ticks > 0).then(|| Duration::from_millis(ticks * 10))
}

/// Plays links at each of the floods, a few at a time: one that is told to end, and in long runs and
/// for each third flood one with limits. The variables of a link say where its server is; `most` is
/// what it may work at its end.
fn play<F: Clone + Sync>(
    floods: &[(&'static str, F)],
    most: Duration,
    start: impl Fn(F) -> FloodServer + Sync,
    variables: impl Fn(&FloodServer) -> Vec<(&'static str, String)> + Sync,
) {
    let numbered: Vec<_> = floods.iter().enumerate().collect();
    let played = in_parallel(&numbered, |(number, (name, flood))| {
        let with_limits = is_long() || number % 3 == 0;
        let by_limit = with_limits
            .then(|| ends_by_its_limits(most, &variables(&start(flood.clone()))))
            .flatten();
        let server = start(flood.clone());
        let by_signal = ends_when_told(most, &server, &variables(&server));
        [by_limit, by_signal].map(|it| it.map(|it| format!("{name}: {it}")))
    });
    let complaints: Vec<_> = played.into_iter().flatten().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// With limits that are soon reached, all objects come from this machine, and it ends with the last
/// of them.
fn ends_by_its_limits(most: Duration, environment: &[(&str, String)]) -> Option<String> {
    let limits = [
        ("RELTO_REMOTE_TIMEOUT", "1s".to_owned()),
        ("RELTO_BES_TIMEOUT", "1s".to_owned()),
        ("RELTO_REMOTE_RETRIES", "1".to_owned()),
    ];
    let mut link = Begun::new(&[environment, &limits].concat());
    link.complaint(most)
}

/// With limits that are never reached, it ends when it is told to, and leaves nothing.
fn ends_when_told(
    most: Duration,
    server: &FloodServer,
    environment: &[(&str, String)],
) -> Option<String> {
    let limits = [
        ("RELTO_REMOTE_TIMEOUT", "1h".to_owned()),
        ("RELTO_BES_TIMEOUT", "1h".to_owned()),
    ];
    let mut link = Begun::new(&[environment, &limits].concat());
    server.wait_until_flooding();
    let before = worked(&link.child).unwrap_or_default();
    link.signal(Signal::TERM);
    let code = link.ended();
    let left = leftovers(&link.saved.path(""));
    let after = link.worked.saturating_sub(before);
    match code {
        None => Some(format!("it does not end: {}", link.stderr())),
        Some(_) if !left.is_empty() => Some(format!("{left:?} is left")),
        Some(_) if after > most => Some(format!("it goes on for {after:?}")),
        Some(_) => None,
    }
}
