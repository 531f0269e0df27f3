//! Campaigns: seeded tests that tell more the longer they run, summed up over runs.
//!
//! A usual run of the tests plays the first few seeds. With `RELTO_TEST_LONG` set a campaign goes on
//! where its last run stopped, for `RELTO_CAMPAIGN_SECONDS` (a quarter of an hour by default), and
//! appends what it counted to `$XDG_STATE_HOME/relto-test/campaigns.jsonl`, a line for about each
//! minute. `tests/campaigns.py` adds the lines up. `RELTO_CAMPAIGN_SEED=N` plays that seed alone.
//!
//! A campaign may be killed at any time: seeds that were not played to their end are neither counted
//! nor played again. It needs only the test program and relto one directory above it, so both can be
//! copied elsewhere; `RELTO_CAMPAIGN_COMMIT` then says what they were built from.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fs_err as fs;
use serde_json::{Value, json};

use super::skip::is_long;

/// How often a line is written.
const LINE: Duration = Duration::from_mins(1);
/// How long a campaign goes on unless told.
const SECONDS: u64 = 900;

/// One run of a campaign.
#[derive(Debug)]
pub struct Campaign {
    name: &'static str,
    began: Instant,
    /// `None` in usual runs.
    limit: Option<Duration>,
    seeds: std::ops::Range<u64>,
    counts: BTreeMap<String, u64>,
    /// When the last line was written, and the first seed after it.
    written: (Instant, u64),
}

impl Campaign {
    /// A usual run plays `usual` seeds, from 1.
    pub fn begin(name: &'static str, usual: u64) -> Self {
        let only = number("RELTO_CAMPAIGN_SEED");
        let limit = match only {
            None if is_long() => Some(number("RELTO_CAMPAIGN_SECONDS").unwrap_or(SECONDS)),
            _ => None,
        };
        let seeds = match (only, limit) {
            (Some(seed), _) => seed..seed + 1,
            (None, Some(_)) => last_seed(name) + 1..u64::MAX,
            (None, None) => 1..usual + 1,
        };
        Self {
            name,
            began: Instant::now(),
            limit: limit.map(Duration::from_secs),
            written: (Instant::now(), seeds.start),
            seeds,
            counts: BTreeMap::new(),
        }
    }

    /// The next seed; `None` when the run is over. What the last one showed must be counted before.
    pub fn seed(&mut self) -> Option<u64> {
        let over = self.limit.is_some_and(|limit| self.began.elapsed() > limit);
        if over || self.written.0.elapsed() > LINE {
            self.write();
        }
        if over { None } else { self.seeds.next() }
    }

    /// Adds to what is counted under `name`.
    pub fn count(&mut self, name: &str, more: u64) {
        *self.counts.entry(name.to_owned()).or_default() += more;
    }

    /// Plays all seeds of this run, `RELTO_CAMPAIGN_THREADS` of them at a time (by default, one for
    /// each processor). What `play` counts enters the sums when its seed is over.
    ///
    /// # Panics
    /// With the first complaint, which is counted as `wrong`; no seed begins after it.
    pub fn play(self, play: impl Fn(u64, &mut SeedCounts) -> Result<(), String> + Sync) {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let threads = number("RELTO_CAMPAIGN_THREADS")
            .and_then(|threads| threads.try_into().ok())
            .unwrap_or_else(processors);
        let shared = Mutex::new(self);
        let campaign = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let play_seeds = || {
            let _stop = StopOnPanic(&shared);
            loop {
                // The campaign must not stay locked while the seed is played.
                let Some(seed) = campaign().seed() else { break };
                let mut counts = SeedCounts::default();
                let ended = play(seed, &mut counts);
                counts.count("wrong", u64::from(ended.is_err()));
                for (name, more) in counts.0 {
                    campaign().count(name, more);
                }
                if let Err(complaint) = ended {
                    panic!("seed {seed}: {complaint}");
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(play_seeds);
            }
        });
    }

    /// What was counted since the last line.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    fn write(&mut self) {
        let (since, first) = self.written;
        self.written = (Instant::now(), self.seeds.start);
        let counts = std::mem::take(&mut self.counts);
        if self.limit.is_none() || counts.is_empty() {
            return;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let line = json!({
            "campaign": self.name,
            "time": now.expect("after 1970").as_secs(),
            "commit": commit(),
            "seconds": since.elapsed().as_secs(),
            "first_seed": first,
            "last_seed": self.seeds.start - 1,
            "counts": counts,
        });
        append(&line);
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.write();
    }
}

/// What one seed showed.
#[derive(Debug, Default)]
pub struct SeedCounts(BTreeMap<&'static str, u64>);

impl SeedCounts {
    /// Adds to what is counted under `name`.
    pub fn count(&mut self, name: &'static str, more: u64) {
        *self.0.entry(name).or_default() += more;
    }
}

/// Ends a campaign whose thread panics: the others play their seeds to the end and begin none.
struct StopOnPanic<'c>(&'c Mutex<Campaign>);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut campaign = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            campaign.seeds.end = campaign.seeds.start;
        }
    }
}

/// Adds a line to the record of all campaigns.
fn append(line: &Value) {
    let path = record();
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory for the record");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the record of campaigns");
    file.write_all(format!("{line}\n").as_bytes())
        .expect("a line is written");
}

fn last_seed(name: &str) -> u64 {
    let text = fs::read_to_string(record()).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = lines.filter(|line| line["campaign"] == name);
    own.filter_map(|line| line["last_seed"].as_u64())
        .max()
        .unwrap_or(0)
}

fn record() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home directory")).join(".local/state"),
        PathBuf::from,
    );
    state.join("relto-test/campaigns.jsonl")
}

fn commit() -> String {
    if let Ok(commit) = std::env::var("RELTO_CAMPAIGN_COMMIT") {
        return commit;
    }
    let mut git = Command::new("git");
    git.current_dir(crate::built::root());
    let output = git.args(["rev-parse", "--short", "HEAD"]).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The number in an environment variable.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
