//! How jobs are planned: on all processors, each file read once, while others already run.
//!
//! The kernel says which shards are opened (inotify), and leases hold their readers back until the
//! test releases them: that shows how many are read at a time, without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fs_err as fs;
use relto::internals::toolchain::{SearchEnvironment, Toolchain};
use rustix::fs::inotify;
use serde_json::Value;

use crate::support::fake::fake_clang;
use crate::support::farm::{Farm, Method, Profile};
use crate::support::lease::Leases;
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::saved::Saved;

const PATIENCE: Duration = Duration::from_mins(1);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A link of small modules with a small compiler.
fn saved(modules: usize) -> Saved {
    let mut saved = Saved::new(&generated(modules));
    let compiler = saved.path("clang");
    fs::copy(fake_clang("object(ET_REL); return 0;"), &compiler).expect("copied");
    saved.compile_with(&compiler);
    saved
}

/// The shards of all jobs, the ones of small modules, which are planned last, at the end.
fn shards(saved: &Saved) -> Vec<PathBuf> {
    let jobs = saved.link["jobs"].as_array().expect("a list").iter();
    let input = |job: &Value, at: usize| saved.path(job["inputs"][at].as_str().expect("a name"));
    let mut shards: Vec<_> = jobs.map(|job| (input(job, 0), input(job, 1))).collect();
    let size = |path: &Path| fs::metadata(path).expect("there").len();
    shards.sort_by_key(|(module, _)| std::cmp::Reverse(size(module)));
    shards.into_iter().map(|(_, shard)| shard).collect()
}

/// relto under way; killed with the test.
struct RunningLink(Child);

impl RunningLink {
    fn start(saved: &Saved, variables: &[(&str, String)]) -> Self {
        let mut command = saved.command();
        command.env("RELTO_DISK_CACHE", "off");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stderr(Stdio::piped());
        Self(command.spawn().expect("relto starts"))
    }

    fn counts(mut self) -> Counts {
        wait_for("end of the link", || self.0.try_wait().expect("a child"));
        let mut stderr = String::new();
        let mut pipe = self.0.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("text");
        Counts::parse(&stderr).unwrap_or_else(|| panic!("{stderr}"))
    }
}

impl Drop for RunningLink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_shard_is_read_once() {
    let saved = saved(12);
    let shards = shards(&saved);
    let queue = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
    for shard in &shards {
        // The queue merges equal events in a row: with the closes between them opens all count.
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&queue, shard, events).expect("watched");
    }
    let counts = RunningLink::start(&saved, &[]).counts();
    assert_eq!(counts.local, counts.jobs);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&queue, &mut buffer);
    let mut opened = BTreeMap::new();
    while let Ok(event) = events.next() {
        if event.events().contains(inotify::ReadFlags::OPEN) {
            *opened.entry(event.wd()).or_insert(0) += 1;
        }
    }
    assert_eq!(opened.len(), shards.len());
    assert!(opened.values().all(|times| *times == 1), "{opened:?}");
}

#[test]
fn as_many_jobs_are_planned_at_once_as_there_are_processors() {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let saved = saved(processors + 2);
    let mut shards = Leases::hold(&shards(&saved)[..processors]);
    let running = RunningLink::start(&saved, &[]);
    // No reader goes on before all have come.
    let waiting: BTreeSet<_> = (0..processors).map(|_| shards.next_reader()).collect();
    assert_eq!(waiting.len(), processors);
    for number in waiting {
        shards.release(number);
    }
    let counts = running.counts();
    assert_eq!(counts.local, counts.jobs);
}

#[test]
fn the_first_jobs_are_uploaded_and_executed_while_others_are_being_planned() {
    let farm = Farm::start(Profile::plain());
    let saved = saved(12);
    let mut last = Leases::hold(&shards(&saved)[11..]);
    let mut variables = farm.environment();
    variables.push(("RELTO_STRATEGY", "remote".to_owned()));
    let running = RunningLink::start(&saved, &variables);
    let number = last.next_reader();
    wait_for("execution before the last plan", || {
        (farm.record().count(Method::Execute) > 0).then_some(())
    });
    last.release(number);
    let counts = running.counts();
    assert_eq!(counts.remote, counts.jobs);
}

/// Files that a link has read to digest them.
fn hashed(saved: &Saved) -> (u64, u64) {
    let output = saved
        .command()
        .env("RELTO_DISK_CACHE", "off")
        .env("RELTO_PROFILE", saved.path("trace.json"))
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = fs::read(saved.path("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_slice(&text).expect("JSON");
    let mut entries = trace["traceEvents"].as_array().expect("a list").iter();
    let hashed = entries.find(|entry| entry["name"] == "hashed");
    let number = |name: &str| hashed.expect("a counter")["args"][name].as_u64();
    (
        number("files").expect("a number"),
        number("bytes").expect("a number"),
    )
}

/// Waits until the times of `files` stand for their contents.
fn settle(files: &[PathBuf]) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
    let changed = files.iter().map(|file| {
        let found = fs::metadata(file).expect("there");
        Duration::new(
            found.ctime().unsigned_abs(),
            u32::try_from(found.ctime_nsec()).expect("nanoseconds"),
        )
    });
    let last = changed.max().expect("a file");
    wait_for("older file", || {
        (now() > last + Duration::from_millis(100)).then_some(())
    });
}

/// The files of `compiler` that are read in every link: those of a machine that was made from an
/// image have whole seconds for times.
fn read_each_time(compiler: &Path) -> (u64, u64) {
    let dir = compiler.parent().expect("a directory").to_owned();
    let environment = SearchEnvironment::new(None, None, dir);
    let toolchain = Toolchain::discover(compiler, &environment).expect("complete");
    let found = toolchain.files.iter().map(|file| fs::metadata(&file.host));
    let found = found.map(|found| found.expect("there"));
    let sizes = found.filter(|found| found.ctime_nsec() == 0);
    sizes.fold((0, 0), |(files, bytes), found| {
        (files + 1, bytes + found.len())
    })
}

#[test]
fn a_module_is_hashed_once_for_all_its_importers_and_the_compiler_once_for_all_links() {
    let saved = saved(12);
    let modules: Vec<PathBuf> = saved.link["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| saved.path(job["inputs"][0].as_str().expect("a name")))
        .collect();
    let mut all = modules.clone();
    all.push(saved.path("clang"));
    settle(&all);
    let (files, bytes) = hashed(&saved);
    let size = |path: &PathBuf| fs::metadata(path).expect("there").len();
    let own: u64 = modules.iter().map(size).sum();
    assert!(files > modules.len() as u64 && bytes > own, "{files} files");
    let (image, image_bytes) = read_each_time(&saved.path("clang"));
    assert_eq!(hashed(&saved), (image, image_bytes), "the rest is known");
    for module in &modules {
        let text = fs::read(module).expect("a module");
        fs::write(module, text).expect("written again");
    }
    settle(&modules);
    let files = image + modules.len() as u64;
    assert_eq!(hashed(&saved), (files, image_bytes + own));
}
