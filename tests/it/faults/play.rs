//! Plays a case: runs relto on a saved link and watches it.
//!
//! [`Played`] says how it ended, how long it took, how much memory it used at most, what it printed
//! and what it left in the directory. The checks that each ending must pass are here too.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::memory;
use crate::support::outcome::Counts;
use crate::support::remote::here;
use crate::support::saved::{Saved, leftovers};

use super::case::{Case, Ends};
use super::known;

/// What relto is told in all cases. The compiler is the workers' own, or each farm would get 270 MB
/// of it.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("RELTO_TOOLCHAIN", "worker"),
    ("RELTO_DISK_CACHE", "off"),
    ("RELTO_REMOTE_TIMEOUT", "2s"),
    ("RELTO_REMOTE_RETRIES", "2"),
];

/// No case may take longer, on whatever machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// Bytes of memory that no case may take: the link itself takes a few megabytes, its debug build
/// some more.
const MOST_MEMORY: u64 = 256 << 20;

/// The record of a link.
pub(super) struct Played {
    saved: Saved,
    /// Names in the directory before the link.
    before: BTreeSet<String>,
    pub(super) elapsed: Duration,
    /// Bytes of memory at most.
    pub(super) peak: u64,
    code: Option<i32>,
    stderr: String,
    violations: Vec<String>,
}

pub(super) fn play(case: &Case, fallback: bool) -> Played {
    let stage = case.stage();
    let saved = known::saved();
    let mut command = saved.command();
    here().apply(&mut command);
    command.envs(SETTINGS.iter().copied());
    command.envs(stage.farm.profile().environment(&stage.proxy.address()));
    command.envs(case.environment.iter().map(|(name, value)| (name, value)));
    command.env("RELTO_REMOTE_LOCAL_FALLBACK", fallback.to_string());
    let log = tempfile::NamedTempFile::new().expect("a file");
    let output = log.reopen().expect("opened again");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(output).process_group(0);
    let before = names(&saved);
    let began = Instant::now();
    let (code, peak) = watch(command.spawn().expect("relto starts"), began);
    Played {
        elapsed: began.elapsed(),
        saved,
        before,
        peak,
        code,
        stderr: String::from_utf8_lossy(&fs::read(log.path()).expect("read")).into_owned(),
        violations: stage.farm.record().violations,
    }
}

/// Waits for the end, which comes at the deadline at the latest: `None`. Gives the largest memory
/// on the way.
fn watch(mut child: Child, began: Instant) -> (Option<i32>, u64) {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return (status.code(), peak);
        }
        peak = peak.max(memory::most(child.id()).unwrap_or(0));
        if began.elapsed() > DEADLINE {
            let group = Pid::from_child(&child);
            // It may have ended just now.
            let _ = kill_process_group(group, Signal::KILL);
            child.wait().expect("a child of ours");
            return (None, peak);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn names(saved: &Saved) -> BTreeSet<String> {
    let entries = fs::read_dir(saved.path("")).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

impl Played {
    /// Where the jobs ran; nothing if the link failed.
    pub(super) fn counts(&self) -> Counts {
        Counts::parse(&self.stderr).unwrap_or_default()
    }

    /// In a few words, how it ended.
    pub(super) fn verdict(&self) -> String {
        let counts = self.counts();
        match self.code {
            Some(0) if counts.cached == counts.jobs => "works, from the cache".to_owned(),
            Some(0) if counts.local > 0 => format!("works, {} here", counts.local),
            Some(0) => "works".to_owned(),
            Some(_) => {
                let text = self.stderr.split_once("relto: error: ");
                let (_, text) = text.unwrap_or(("", "fails silently"));
                let lines = text.lines().map(str::trim);
                let lines: Vec<_> = lines
                    .take_while(|line| !line.starts_with("hint: "))
                    .collect();
                // The last cause says most.
                let mut causes = lines.iter().rev();
                let cause = causes.find_map(|line| line.strip_prefix("caused by: "));
                cause.map_or_else(|| lines.join(" / "), str::to_owned)
            }
            None => "is killed at the deadline".to_owned(),
        }
    }

    /// With fallback: the objects are those that clang writes in place, whatever happened.
    pub(super) fn check_lenient(&self, case: &Case) -> Result<(), String> {
        self.check_bounds()
            .and_then(|()| self.check_success())
            .map_err(|complaint| self.complain(case, "with fallback", &complaint))
    }

    /// Without fallback: the farm makes all, or the link fails as it should.
    pub(super) fn check_strict(&self, case: &Case) -> Result<(), String> {
        let checked = self.check_bounds().and_then(|()| match &case.ends {
            Ends::Works => self.check_success().and_then(|()| self.check_no_local()),
            Ends::Says(parts) => self.check_failure(parts),
            Ends::Either if self.code == Some(0) => self.check_success(),
            Ends::Either => self.check_failure(&["remote_local_fallback".to_owned()]),
        });
        checked.map_err(|complaint| self.complain(case, "without fallback", &complaint))
    }

    fn complain(&self, case: &Case, how: &str, complaint: &str) -> String {
        let stderr = self.stderr.trim_end().replace('\n', "\n    ");
        format!("{} ({how}): {complaint}\n    {stderr}", case.name())
    }

    fn check_bounds(&self) -> Result<(), String> {
        if self.code.is_none() {
            return Err(format!("not over after {DEADLINE:?}"));
        }
        if self.peak > MOST_MEMORY {
            return Err(format!("{} MB of memory", self.peak >> 20));
        }
        if !self.violations.is_empty() {
            return Err(format!("the farm complains: {:?}", self.violations));
        }
        let acts = |c: &char| c.is_control() && !['\n', '\t'].contains(c);
        if let Some(control) = self.stderr.chars().find(acts) {
            return Err(format!("the control character {control:?} is printed"));
        }
        let left = leftovers(&self.saved.path(""));
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?} is left"))
        }
    }

    fn check_success(&self) -> Result<(), String> {
        if self.code != Some(0) {
            return Err(format!("it ends with {:?}", self.code));
        }
        for (path, theirs) in self.saved.objects().iter().zip(&self.saved.in_place) {
            let ours = fs::read(path).map_err(|error| error.to_string())?;
            if ours != *theirs {
                return Err(format!("`{}` is not clang's", path.display()));
            }
        }
        let new = names(&self.saved).difference(&self.before).count();
        if new == self.saved.in_place.len() {
            Ok(())
        } else {
            Err(format!("{new} new files"))
        }
    }

    fn check_no_local(&self) -> Result<(), String> {
        let counts = self.counts();
        if counts.jobs > 0 && counts.remote + counts.cached == counts.jobs {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    }

    fn check_failure(&self, parts: &[String]) -> Result<(), String> {
        if self.code != Some(1) {
            return Err(format!("it ends with {:?}", self.code));
        }
        let always = ["relto: error: ".to_owned(), "  hint: ".to_owned()];
        for part in parts.iter().chain(&always) {
            if !self.stderr.contains(part) {
                return Err(format!("it does not say `{part}`"));
            }
        }
        let written: Vec<_> = names(&self.saved)
            .difference(&self.before)
            .cloned()
            .collect();
        if written.is_empty() {
            Ok(())
        } else {
            Err(format!("{written:?} was written"))
        }
    }
}
