//! One run of a program measured from outside, and what several runs show together: wall time,
//! processor time and peak memory as GNU `time` reports them, and medians of interleaved rounds.
//! Besides, what all benchmarks are asked for and how they show it.

use std::io::{self, Write as _};
use std::process::Command;

use fs_err as fs;

use super::repeat::through;

/// One run, or the mean of several in a row.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub wall: f64,
    /// User and system time of the process and all children it waited for, in seconds.
    pub cpu: f64,
    /// Peak resident memory of the largest of them, in MiB.
    pub memory: f64,
}

/// Runs `command` `times` times in a row under GNU `time`.
///
/// # Panics
/// A run fails: a wrong run has no time.
pub fn run(command: &Command, times: usize) -> Sample {
    const LOOP: &str = "log=$1 i=$2; shift 2; \
        while [ $i -gt 0 ]; do \"$@\" >$log 2>&1 || { cat $log >&2; exit 1; }; i=$((i - 1)); done";
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let [report, log] = ["time", "log"].map(|name| dir.path().join(name).display().to_string());
    let count = times.to_string();
    let time = ["/usr/bin/time", "-o", &report, "-f", "%e %U %S %M"];
    let shell = ["sh", "-c", LOOP, "sh", &log, &count];
    let output = through(&[&time[..], &shell].concat(), command)
        .output()
        .expect("GNU time, of Debian's package `time`");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(report).expect("the report of `time`");
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [wall, user, system, memory] = numbers[..] else {
        panic!("`time` reports `{text}`");
    };
    let each = |sum: f64| sum / f64::from(u32::try_from(times).expect("a small number"));
    Sample {
        wall: each(wall),
        cpu: each(user + system),
        memory: memory / 1024.0,
    }
}

/// Two ways of doing the same, one after the other in every round, so that what else the machine
/// does hits both.
pub struct Comparison {
    ours: Vec<Sample>,
    theirs: Vec<Sample>,
}

impl Comparison {
    /// `rounds` rounds; every other one starts with `theirs`.
    pub fn of(
        rounds: usize,
        mut ours: impl FnMut() -> Sample,
        mut theirs: impl FnMut() -> Sample,
    ) -> Self {
        let mut both = Self {
            ours: Vec::new(),
            theirs: Vec::new(),
        };
        for round in 0..rounds {
            if round % 2 == 0 {
                both.ours.push(ours());
                both.theirs.push(theirs());
            } else {
                both.theirs.push(theirs());
                both.ours.push(ours());
            }
        }
        both
    }

    /// How much more `ours` takes: the median of the differences within a round.
    pub fn difference(&self, what: impl Fn(&Sample) -> f64) -> f64 {
        let rounds = self.ours.iter().zip(&self.theirs);
        median(rounds.map(|(a, b)| what(a) - what(b)))
    }

    /// `ours`, `theirs` and the ratio within a round: medians, and the extremes of the ratio. It
    /// belongs below [`HEAD`].
    pub fn line(&self, name: &str, what: impl Fn(&Sample) -> f64) -> String {
        let ratios: Vec<_> = self
            .ours
            .iter()
            .zip(&self.theirs)
            .map(|(a, b)| what(a) / what(b))
            .collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "{name:25}{:9.3}  {:9.3}  {:7.3}  ({least:.3} to {most:.3})\n",
            median(self.ours.iter().map(&what)),
            median(self.theirs.iter().map(&what)),
            median(ratios.iter().copied()),
        )
    }
}

/// What stands above lines of a comparison.
pub const HEAD: &str = "                                 ours     theirs    ratio  (range)\n";

/// The middle value; of an even number of values the upper one of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The words that a benchmark was started with.
#[derive(Debug)]
pub struct BenchArguments(Vec<String>);

impl BenchArguments {
    /// Those of this process, without what cargo adds.
    pub fn get() -> Self {
        let words = std::env::args().skip(1);
        Self(words.filter(|word| word != "--bench").collect())
    }

    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// Whether `name` was asked for.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|word| word == name)
    }

    /// The number after `name`.
    ///
    /// # Panics
    /// There is none after it.
    pub fn number(&self, name: &str) -> Option<usize> {
        let at = self.0.iter().position(|word| word == name)?;
        Some(self.0[at + 1].parse().expect("a number"))
    }
}

/// Load of the last minute: what else the machine did.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Prints a part of a table.
pub fn show(text: &str) {
    let written = io::stdout().write_all(text.as_bytes());
    written.expect("stdout is open");
}
