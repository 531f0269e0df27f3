//! A finished link, kept with its job file and shards, so that a test can give it to relto again.
//!
//! The directory holds the modules and lld's own files, and a test may edit the job file. The link
//! itself is made once a machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use prost::Message as _;
use relto::internals::pb::reapi::ActionResult;
use serde_json::Value;
use tempfile::TempDir;

use super::corpus::cached;
use super::link::{Home, Link};
use super::llvm::Llvm;
use super::program::Program;

const JOB_FILE: &str = "jobs.json";

/// A copy of the saved link, in a directory of its own.
#[derive(Debug)]
pub struct Saved {
    dir: TempDir,
    pub home: Home,
    /// The job file; what a test changes here is what relto gets.
    pub link: Value,
    /// The objects that clang wrote in place, in the order of the jobs.
    pub in_place: Vec<Vec<u8>>,
}

impl Saved {
    /// The link of `program` as plain objects: everything that lld wrote, and no native object.
    pub fn new(program: &Program) -> Self {
        let recipe = format!(
            "{:?}{}",
            program.modules,
            Llvm::get().tool("clang").display()
        );
        let kept = cached(&format!("saved-{}", program.name), &recipe, |dir| {
            let outcome = Link::reference(program).keep_objects().run().expect_works();
            copy_files(outcome.dir(), dir);
            fs::write(dir.join(JOB_FILE), outcome.job_file().to_string()).expect("written");
        });
        let dir = TempDir::new().expect("a temporary directory");
        copy_files(&kept, dir.path());
        let text = fs::read(dir.path().join(JOB_FILE)).expect("read");
        let mut saved = Self {
            dir,
            home: Home::new(),
            link: serde_json::from_slice(&text).expect("a job file"),
            in_place: Vec::new(),
        };
        for object in saved.objects() {
            saved.in_place.push(fs::read(&object).expect("an object"));
            fs::remove_file(object).expect("removed");
        }
        saved
    }

    /// Leaves the job of `module` alone in the job file.
    pub fn only(mut self, module: &str) -> Self {
        let jobs = self.link["jobs"].as_array_mut().expect("a list");
        jobs.retain(|job| job["inputs"][0] == module);
        assert_eq!(jobs.len(), 1, "one job of `{module}`");
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The first job, to be edited.
    pub fn job(&mut self) -> &mut Value {
        &mut self.link["jobs"][0]
    }

    /// The shard of the first job.
    pub fn index(&self) -> PathBuf {
        let name = self.link["jobs"][0]["inputs"][1].as_str();
        self.path(name.expect("a name"))
    }

    /// Where the objects of all jobs belong.
    pub fn objects(&self) -> Vec<PathBuf> {
        let jobs = self.link["jobs"].as_array().expect("a list").iter();
        let names = jobs.filter_map(|job| job["outputs"][0].as_str());
        names.map(|name| self.path(name)).collect()
    }

    /// Replaces the compiler of all jobs.
    pub fn compile_with(&mut self, compiler: &Path) {
        self.link["common"]["args"][0] = compiler.to_str().expect("a plain path").into();
    }

    /// Writes the job file and gives the command that lld would run.
    pub fn command(&self) -> Command {
        fs::write(self.path(JOB_FILE), self.link.to_string()).expect("written");
        self.command_on(JOB_FILE)
    }

    /// relto with any file as its job file.
    pub fn command_on(&self, job_file: &str) -> Command {
        let mut command = Command::new(crate::built::relto());
        self.home.apply(&mut command);
        command.current_dir(self.dir.path()).arg(job_file);
        command
    }

    pub fn run(&self) -> Output {
        self.command().output().expect("relto starts")
    }

    /// Runs relto, which must refuse, say each of `parts` and a way out, and leave nothing at all.
    ///
    /// # Panics
    /// With all that relto printed, when it is not so.
    pub fn refused(&self, parts: &[&str]) -> String {
        let output = self.run();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(output.stdout.is_empty(), "stdout belongs to the linker");
        for part in parts {
            assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
        }
        assert!(stderr.contains("  hint: "), "no way out in:\n{stderr}");
        for object in self.objects() {
            assert!(!object.exists(), "`{}` is left", object.display());
        }
        assert_eq!(results(&self.home), 0, "kept in the cache:\n{stderr}");
        assert_eq!(leftovers(self.dir.path()), Vec::<PathBuf>::new());
        stderr
    }
}

/// How many results of whole keys relto's disk cache holds.
pub fn results(home: &Home) -> usize {
    result_files(home).len()
}

/// The files of these results. What the cache has for slice keys does not count: objects under them,
/// and what it remembers of modules and jobs.
pub fn result_files(home: &Home) -> Vec<PathBuf> {
    let mut found = files_below(&home.cache().join("relto/ac"));
    found.retain(|path| {
        let outputs = result_in(path).output_files;
        !outputs
            .iter()
            .any(|output| OF_SLICE_KEYS.contains(&&*output.path))
    });
    found.sort();
    found
}

/// The outputs that only records of slice keys have.
const OF_SLICE_KEYS: [&str; 3] = ["relto/numbers", "relto/graph", "relto/seen"];

/// What a file of the disk cache's `ac` holds.
pub fn result_in(file: &Path) -> ActionResult {
    let bytes = fs::read(file).expect("read");
    ActionResult::decode(&bytes[..]).expect("a result")
}

/// All files below `dir`; none where it does not exist.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Temporary files of relto or of a compiler in `dir`.
pub fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            name.starts_with(".relto-") || name.starts_with("relto-") || name.ends_with(".tmp")
        })
        .collect()
}

/// Runs `lld` as far as its distributor, which leaves a copy of the current directory and of the job
/// file at `copy`, and fails. Returns the job file.
///
/// # Panics
/// It does not come to that.
pub fn captured(lld: &mut Command, copy: &Path) -> Vec<u8> {
    const LOOK: &str = "cp -R . \"$0\"; cp \"$1\" \"$0/jobs.json\"; exit 1";
    let words = ["-c", LOOK, copy.to_str().expect("text")];
    lld.arg("--thinlto-distributor=/bin/sh");
    lld.args(words.map(|word| format!("--thinlto-distributor-arg={word}")));
    let output = lld.output().expect("lld starts");
    fs::read(copy.join(JOB_FILE))
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The files of one directory, without directories in it.
pub fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().expect("a file"))).expect("copied");
        }
    }
}
