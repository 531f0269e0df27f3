//! What a link left behind: its messages, [`Counts`] out of the summary line, each job's native
//! object, and checks that a correct link passes.

use std::path::{Path, PathBuf};
use std::process::Output;

use fs_err as fs;
use relto::internals::task::in_parallel;
use serde_json::Value;
use tempfile::TempDir;

use super::llvm::{Llvm, run};
use super::program::Program;

/// Where the jobs of one link ran, as the summary line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub jobs: usize,
    pub cached: usize,
    pub remote: usize,
    pub local: usize,
    pub in_place: usize,
}

impl Counts {
    /// The last summary line in `stderr`:
    /// `relto: 214 jobs, 190 cached: 100 disk, 90 farm, 20 remote, 4 local, 3.1 s`.
    pub fn parse(stderr: &str) -> Option<Self> {
        let parse = |line: &str| {
            let (_, list) = line.split_once(": ")?;
            let mut counts = Self::default();
            for part in list.split(", ") {
                let (number, what) = part.split_once(' ')?;
                // Behind the colon is where they came from, or why.
                let what = what.split_once(':').map_or(what, |(what, _)| what);
                match what {
                    "job" | "jobs" => counts.jobs = number.parse().ok()?,
                    "cached" => counts.cached = number.parse().ok()?,
                    "remote" => counts.remote = number.parse().ok()?,
                    "local" => counts.local = number.parse().ok()?,
                    "in place" => counts.in_place = number.parse().ok()?,
                    _ => {}
                }
            }
            (counts.jobs > 0).then_some(counts)
        };
        let ours = |line: &&str| line.starts_with("relto: ") || line.starts_with("reference: ");
        stderr.lines().rev().filter(ours).find_map(parse)
    }
}

/// A finished link and its directory, which goes when this is dropped.
#[derive(Debug)]
pub struct LinkOutcome {
    dir: TempDir,
    program: Program,
    /// The exit code of clang or lld; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl LinkOutcome {
    pub(super) fn new(dir: TempDir, program: &Program, output: &Output) -> Self {
        Self {
            dir,
            program: program.clone(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn executable(&self) -> PathBuf {
        self.dir().join(executable_name(&self.program))
    }

    /// The link succeeded and the program works.
    ///
    /// # Panics
    /// With all that the link printed, when it is not so.
    pub fn expect_works(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "link of {}:\n{}",
            self.program.name,
            self.stderr
        );
        self.program.check(&self.executable());
        self
    }

    /// The summary line.
    ///
    /// # Panics
    /// There is none.
    pub fn counts(&self) -> Counts {
        Counts::parse(&self.stderr).unwrap_or_else(|| panic!("no summary in:\n{}", self.stderr))
    }

    /// The job file, which lld leaves when it is told to keep temporary files.
    ///
    /// # Panics
    /// The link was made without `keep_objects`.
    pub fn job_file(&self) -> Value {
        let entries = fs::read_dir(self.dir()).expect("the link's directory");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        let file = paths.find(|path| path.to_string_lossy().ends_with(".dist-file.json"));
        let text = fs::read(file.expect("`keep_objects` was asked for")).expect("read");
        serde_json::from_slice(&text).expect("a job file")
    }

    /// The native object of each job, in the order of the job file.
    pub fn objects(&self) -> Vec<Vec<u8>> {
        let link = self.job_file();
        let jobs = link["jobs"].as_array().expect("a list").iter();
        let paths = jobs.map(|job| job["outputs"][0].as_str().expect("a path"));
        paths
            .map(|path| fs::read(self.dir().join(path)).expect("an object"))
            .collect()
    }

    /// No job ran a compiler.
    ///
    /// # Panics
    /// With all that the link printed, when one did.
    pub fn assert_all_cached(&self) {
        let counts = self.counts();
        assert_eq!(counts.cached, counts.jobs, "{}", self.stderr);
    }

    /// Every job ran a compiler, and its result was fit for the cache.
    ///
    /// # Panics
    /// With all that the link printed, when it is not so.
    pub fn assert_none_cached(&self) {
        let counts = self.counts();
        assert_eq!(counts.local, counts.jobs, "{}", self.stderr);
    }

    /// Every object is the one that clang writes in place, from the same module, shard and imports.
    ///
    /// # Panics
    /// Names the first job whose object differs.
    pub fn assert_identical_objects(&self) {
        let link = self.job_file();
        let common = texts(&link["common"]["args"]);
        let jobs = link["jobs"].as_array().expect("a list");
        let each: Vec<_> = jobs
            .iter()
            .map(|job| texts(&job["args"]))
            .zip(self.objects())
            .collect();
        assert!(!each.is_empty(), "a link without jobs");
        in_parallel(&each, |(job, ours)| self.compare(&common, job, ours));
    }

    /// Runs `job` in place, its object under another name beside the kept one.
    fn compare(&self, common: &[String], job: &[String], ours: &[u8]) {
        let [arguments @ .., object] = job else {
            panic!("a job without arguments");
        };
        let in_place = self.dir().join(format!("{object}.in-place"));
        let mut command = Llvm::get().command(&common[0]);
        command.current_dir(self.dir()).args(&common[1..]);
        run(command.args(arguments).arg(&in_place));
        let theirs = fs::read(&in_place).expect("an object");
        assert!(
            timeless(ours) == timeless(&theirs),
            "the object of `{}` has {} bytes and is not the one of {} bytes that clang writes in place",
            job[0],
            ours.len(),
            theirs.len()
        );
    }
}

/// The object without the time that clang writes into those for Windows, where the header's second
/// word is.
fn timeless(object: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    if object.starts_with(&[0x64, 0x86]) {
        object[4..8].fill(0);
    }
    object
}

/// The linked file's name in the link's directory.
pub(super) fn executable_name(program: &Program) -> &'static str {
    if program.driver == "lld-link" {
        "app.exe"
    } else {
        "app"
    }
}

/// The texts of a list in a job file.
///
/// # Panics
/// It is no list, or holds something else.
pub fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}
