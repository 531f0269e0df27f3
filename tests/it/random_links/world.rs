//! The circumstances of one link: what relto is told, what its cache has been through, what the
//! farm does, and whether it lives to the end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::Code;

use crate::slices::source::Random;
use crate::support::built;
use crate::support::farm::{Effect, Failure, Fault, Method};
use crate::support::saved::{copy_files, leftovers};

use super::lab::{Lab, Snapshot};

/// No link takes longer.
const DEADLINE: Duration = Duration::from_mins(3);

/// How long a link of damaged modules is waited for before clang is asked whether it ends on them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a link must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// All objects are there.
    Works,
    /// What is there is clang's.
    Either,
}

/// What happens to the cache before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CacheState {
    AsItIs,
    Empty,
    Off,
    Flipped,
    Cut,
    Swapped,
    Removed,
    Grown,
}

/// What is special about the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    /// It is killed after this many milliseconds, by a signal that can be caught or not.
    Killed(u64, bool),
    /// Some input is that of the program before its last edit.
    Stale(usize),
    /// A byte of some input is another one.
    Damaged(usize, usize),
}

#[derive(Debug)]
pub(super) struct World {
    environment: Vec<(&'static str, String)>,
    cache: CacheState,
    /// Chooses the file of the cache that something happens to, and how much.
    which: usize,
    fault: Option<&'static str>,
    event: Event,
}

impl World {
    pub(super) fn new(random: &mut Random, lab: &Lab) -> Self {
        use CacheState::{AsItIs, Cut, Empty, Flipped, Grown, Off, Removed, Swapped};
        const CACHES: [CacheState; 12] = [
            AsItIs, AsItIs, AsItIs, AsItIs, AsItIs, Empty, Off, Flipped, Cut, Swapped, Removed,
            Grown,
        ];
        let mut choose = |words: &[&'static str]| words[random.below(words.len())].to_owned();
        let mut environment = vec![
            ("RELTO_SLICE_KEYS", choose(&["on", "on", "on", "off"])),
            ("RELTO_LOCAL_JOBS", choose(&["1", "2", "4"])),
            ("RELTO_VERIFY", choose(&["0", "0", "0", "50", "100"])),
            (
                "RELTO_LOCAL_RAM_RESOURCES",
                choose(&["off", "HOST_RAM*.67"]),
            ),
            ("RELTO_QUIET", choose(&["true", "false"])),
        ];
        let fault = (random.below(3) == 0).then(|| {
            environment.extend(lab.farm.environment());
            let mut choose = |words: &[&'static str]| words[random.below(words.len())].to_owned();
            environment.extend([
                ("RELTO_TOOLCHAIN", "worker".to_owned()),
                ("RELTO_REMOTE_TIMEOUT", "2s".to_owned()),
                ("RELTO_REMOTE_RETRIES", choose(&["0", "2"])),
                // Objects of two compilers may not be mixed.
                ("RELTO_STRATEGY", "remote".to_owned()),
                (
                    "RELTO_REMOTE_ACCEPT_CACHED",
                    choose(&["true", "true", "false"]),
                ),
            ]);
            lab.farm.clear_faults();
            arrange_fault(random, lab)
        });
        let which = random.below(1 << 20);
        let event = match random.below(10) {
            0 => Event::Killed(random.below(250) as u64, true),
            1 => Event::Killed(random.below(250) as u64, false),
            2 => Event::Stale(which),
            3 => Event::Damaged(which, random.below(1 << 20)),
            _ => Event::Nothing,
        };
        let cache = CACHES[random.below(CACHES.len())];
        Self {
            environment,
            cache,
            which,
            fault,
            event,
        }
    }

    /// In a word, for the sums.
    pub(super) fn name(&self) -> &'static str {
        match (self.event, self.fault, self.cache) {
            (Event::Killed(..), ..) => "killed",
            (Event::Stale(_) | Event::Damaged(..), ..) => "with wrong inputs",
            (_, Some(_), _) => "with a farm",
            (_, _, CacheState::AsItIs) => "plain",
            (_, _, CacheState::Empty | CacheState::Off) => "without cache",
            _ => "with a damaged cache",
        }
    }

    pub(super) fn ends(&self) -> Ends {
        match self.event {
            Event::Nothing => Ends::Works,
            _ => Ends::Either,
        }
    }

    /// Links a copy of `snapshot`.
    pub(super) fn link<'s>(
        &self,
        lab: &Lab,
        snapshot: &'s Snapshot,
        before: Option<&Snapshot>,
    ) -> Played<'s> {
        let dir = TempDir::new().expect("a directory");
        copy_files(&snapshot.dir, dir.path());
        let mut damaged = false;
        match self.event {
            Event::Stale(which) => damaged = make_stale(dir.path(), snapshot, before, which),
            Event::Damaged(which, at) => damaged = damage(dir.path(), snapshot, which, at),
            _ => {}
        }
        disturb(lab.cache.path(), self.cache, self.which);
        let mut command = Command::new(built::relto());
        lab.home().apply(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let cache = match self.cache {
            CacheState::Off => "off".into(),
            _ => lab.cache.path().as_os_str().to_owned(),
        };
        command.env("RELTO_DISK_CACHE", cache);
        command.current_dir(dir.path()).arg("jobs.json");
        let messages = tempfile::NamedTempFile::new().expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(messages.reopen().expect("opened again"));
        let child = command.spawn().expect("relto starts");
        let end = match self.event {
            Event::Killed(after, softly) => killed(child, after, softly),
            _ => ended(child, || {
                damaged && snapshot.clang_runs_longer(dir.path(), PATIENCE)
            }),
        };
        Played {
            snapshot,
            dir,
            end,
            damaged,
            stderr: fs::read_to_string(messages.path()).expect("text"),
        }
    }
}

/// What one call of the farm does wrong; nothing in one of four links.
fn arrange_fault(random: &mut Random, lab: &Lab) -> &'static str {
    const CALLS: [Method; 7] = [
        Method::GetCapabilities,
        Method::FindMissingBlobs,
        Method::BatchUpdateBlobs,
        Method::BatchReadBlobs,
        Method::Read,
        Method::GetActionResult,
        Method::Execute,
    ];
    const CODES: [Code; 6] = [
        Code::Unavailable,
        Code::Internal,
        Code::ResourceExhausted,
        Code::PermissionDenied,
        Code::NotFound,
        Code::Unimplemented,
    ];
    let call = CALLS[random.below(CALLS.len())];
    let code = CODES[random.below(CODES.len())];
    let download = [Method::BatchReadBlobs, Method::Read][random.below(2)];
    let results = [Method::Execute, Method::GetActionResult][random.below(2)];
    let (name, fault) = match random.below(12) {
        0..=2 => return "a farm",
        3 => ("a status", Fault::at(call, Effect::fail(code, "made up"))),
        4 => ("a lost connection", Fault::at(call, Effect::DropConnection)),
        5 => ("other bytes", Fault::at(download, Effect::WrongBytes)),
        6 => (
            "fewer bytes",
            Fault::at(download, Effect::Shorten(random.below(64) + 1)),
        ),
        7 => (
            "more bytes",
            Fault::at(download, Effect::Lengthen(random.below(64) + 1)),
        ),
        8 => ("no output", Fault::at(results, Effect::missing_output())),
        9 => (
            "an empty output",
            Fault::at(results, Effect::empty_output()),
        ),
        10 => ("an exit code", Fault::at(results, Effect::exit_code(1))),
        _ => (
            "a failed run",
            Fault::at(
                Method::Execute,
                Effect::RunStatus(Failure::new(code, "made up")),
            ),
        ),
    };
    let fault = match random.below(3) {
        0 => fault.call(1),
        1 => fault.from(2),
        _ => fault,
    };
    lab.farm.fault(fault);
    name
}

/// Replaces some input by the one that the program had before. Returns whether it is a shard: it may
/// fit as well. A module that has another hash does not.
fn make_stale(dir: &Path, snapshot: &Snapshot, before: Option<&Snapshot>, which: usize) -> bool {
    let inputs = inputs(dir, snapshot);
    let name = inputs[which % inputs.len()].file_name().expect("a name");
    if let Some(old) = before.map(|before| before.dir.join(name))
        && old.exists()
    {
        fs::copy(old, dir.join(name)).expect("copied");
    }
    name.to_string_lossy().ends_with(".thinlto.bc")
}

/// Changes a bit of some input, which has the hash that it had.
fn damage(dir: &Path, snapshot: &Snapshot, which: usize, at: usize) -> bool {
    let inputs = inputs(dir, snapshot);
    flip(&inputs[which % inputs.len()], at);
    true
}

/// Shards and modules.
fn inputs(dir: &Path, snapshot: &Snapshot) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> = snapshot.inputs().map(|name| dir.join(name)).collect();
    inputs.sort();
    inputs.dedup();
    inputs
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    bytes[at] ^= 1 << (at % 8);
    fs::write(path, bytes).expect("written");
}

/// Does to the cache in `dir` what `state` says.
fn disturb(dir: &Path, state: CacheState, which: usize) {
    let mut files = Vec::new();
    list(dir, &mut files);
    files.retain(|path| {
        path.components()
            .any(|it| ["ac", "cas"].iter().any(|dir| it.as_os_str() == *dir))
    });
    files.sort();
    if files.is_empty() {
        return;
    }
    let file = &files[which % files.len()];
    match state {
        CacheState::AsItIs | CacheState::Off => {}
        CacheState::Empty => {
            for file in files {
                fs::remove_file(file).expect("removed");
            }
        }
        CacheState::Flipped => flip(file, which / 7),
        CacheState::Cut => {
            let bytes = fs::read(file).expect("read");
            fs::write(file, &bytes[..which % bytes.len().max(1)]).expect("written");
        }
        CacheState::Swapped => {
            // Results that name other blobs are results of this user, as good as any; blobs that
            // have other names than their digests are not.
            let blobs: Vec<_> = files.iter().filter(|path| is_blob(path)).collect();
            if let [first, .., last] = &blobs[..] {
                fs::copy(first, last).expect("copied");
            }
        }
        CacheState::Removed => fs::remove_file(file).expect("removed"),
        CacheState::Grown => {
            let mut bytes = fs::read(file).expect("read");
            bytes.extend(b"more");
            fs::write(file, bytes).expect("written");
        }
    }
}

fn is_blob(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "cas")
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// How the process of a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessEnd {
    Code(i32),
    /// We have ended it.
    Killed,
    /// It did not end by itself, and no compiler is to blame.
    Hung,
}

/// Kills relto after a while. A time is part of the seed, not of what is expected.
fn killed(child: Child, after: u64, softly: bool) -> ProcessEnd {
    thread::sleep(Duration::from_millis(after));
    kill(child, if softly { Signal::TERM } else { Signal::KILL })
}

fn kill(mut child: Child, signal: Signal) -> ProcessEnd {
    // It may be over.
    let _ = kill_process(Pid::from_child(&child), signal);
    child.wait().expect("a child of ours");
    ProcessEnd::Killed
}

/// Waits for the end of relto, unless `compiler_hangs`: some damaged modules keep clang busy for ever,
/// and relto waits for it as lld does.
fn ended(mut child: Child, compiler_hangs: impl Fn() -> bool) -> ProcessEnd {
    let began = Instant::now();
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().map_or(ProcessEnd::Hung, ProcessEnd::Code);
        }
        if began.elapsed() > DEADLINE {
            kill(child, Signal::KILL);
            return ProcessEnd::Hung;
        }
        if !asked && began.elapsed() > PATIENCE {
            asked = true;
            if compiler_hangs() {
                return kill(child, Signal::TERM);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A link that is over.
pub(super) struct Played<'s> {
    snapshot: &'s Snapshot,
    dir: TempDir,
    end: ProcessEnd,
    /// Its inputs are other ones, and clang's object may be, too.
    damaged: bool,
    stderr: String,
}

impl Played<'_> {
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self, ends: Ends) -> Result<(), String> {
        let wrong = |text: String| Err(format!("{text}\n{}", self.stderr));
        let found = self.snapshot.found(self.dir.path());
        if self.end == ProcessEnd::Code(0) && found < self.snapshot.jobs() {
            return wrong(format!("{found} of {} objects", self.snapshot.jobs()));
        }
        if ends == Ends::Works && self.end != ProcessEnd::Code(0) {
            return wrong(format!("it ends with {:?}", self.end));
        }
        if self.end == ProcessEnd::Hung {
            return wrong("it does not end, or by a signal".to_owned());
        }
        if self.stderr.contains("panicked") || self.stderr.contains("internal error") {
            return wrong("it panics".to_owned());
        }
        if let Some(output) = self.snapshot.wrong_object(self.dir.path(), self.damaged) {
            return wrong(format!("`{output}` is not clang's"));
        }
        let left = leftovers(self.dir.path());
        if self.end != ProcessEnd::Killed && !left.is_empty() {
            return wrong(format!("{left:?} is left"));
        }
        Ok(())
    }

    /// Leaves the directory for whoever looks into it.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}
