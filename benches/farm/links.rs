//! Builds links of any size from a real one, as lld leaves them for its distributor.
//!
//! Copies differ in an argument that makes no difference to a backend but is part of the action, so
//! that each job has its own key.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::thinlto::Index;
use serde_json::{Value, json};
use tempfile::TempDir;

use relto_testing::backends::backends;
use relto_testing::corpus::cached;
use relto_testing::link::{Home, Link};
use relto_testing::llvm::Llvm;
use relto_testing::program::Program;
use relto_testing::saved::copy_files;

const JOB_FILE: &str = "jobs.json";

/// A link that can be given to relto again and again.
pub(crate) struct Multiplied {
    dir: TempDir,
    link: Value,
    /// By module: the object that clang makes of it.
    pub(crate) objects: Vec<(String, Vec<u8>)>,
}

impl Multiplied {
    /// The link itself is made once a machine.
    pub(crate) fn new(program: &Program) -> Self {
        let clang = Llvm::get().tool("clang");
        let recipe = format!("{:?}{}", program.modules, clang.display());
        let kept = cached(&format!("linked-{}", program.name), &recipe, |dir| {
            let outcome = Link::reference(program).keep_objects().run().expect_works();
            copy_files(outcome.dir(), dir);
            fs::write(dir.join(JOB_FILE), outcome.job_file().to_string()).expect("written");
        });
        let dir = TempDir::new().expect("a temporary directory");
        copy_files(&kept, dir.path());
        let file = fs::read(kept.join(JOB_FILE)).expect("read");
        let link = serde_json::from_slice(&file).expect("a job file");
        let object = |job: &Value| {
            let object = fs::read(kept.join(text(&job["outputs"][0])));
            (text(&job["inputs"][0]), object.expect("an object"))
        };
        Self {
            objects: jobs(&link).iter().map(object).collect(),
            dir,
            link,
        }
    }

    pub(crate) fn jobs(&self) -> usize {
        jobs(&self.link).len()
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The link as it is.
    pub(crate) fn once(&self) -> PathBuf {
        self.dir().join(JOB_FILE)
    }

    /// One after the other, what lld's distributor has to run.
    pub(crate) fn backends(&self) -> Command {
        backends(self.dir(), &self.link, jobs(&self.link), 1)
    }

    pub(crate) fn shard(&self, module: &str) -> Vec<u8> {
        let name = text(&self.job(module)["inputs"][1]);
        fs::read(self.dir().join(name)).expect("a shard")
    }

    /// A new directory beside the link's files. It stays until they are removed, see
    /// [`put_objects_away`](Self::put_objects_away).
    pub(crate) fn new_dir(&self, prefix: &str) -> PathBuf {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix).disable_cleanup(true);
        let dir = builder.tempdir_in(self.dir()).expect("a directory");
        dir.path().to_owned()
    }

    fn job(&self, module: &str) -> &Value {
        let mut jobs = jobs(&self.link).iter();
        let job = jobs.find(|job| text(&job["inputs"][0]) == module);
        job.expect("a job")
    }

    /// The same files for every copy.
    pub(crate) fn times(&self, copies: usize) -> PathBuf {
        self.write(0..copies, |_, name| name.to_owned())
    }

    /// One copy, whose objects are its own.
    pub(crate) fn number(&self, copy: usize) -> PathBuf {
        self.write(copy..copy + 1, |_, name| name.to_owned())
    }

    /// `count` jobs, each copy with modules and shards of its own.
    pub(crate) fn with_own_files(&self, count: usize) -> PathBuf {
        let copies = count.div_ceil(self.jobs());
        for copy in 0..copies {
            self.copy_files(copy);
        }
        self.write(0..copies, |copy, name| format!("{copy}/{name}"))
    }

    fn write(&self, copies: Range<usize>, name: impl Fn(usize, &str) -> String) -> PathBuf {
        let file = format!("jobs-{}-{}.json", copies.start, copies.end);
        let mut all = Vec::with_capacity(copies.len() * self.jobs());
        for copy in copies {
            for job in jobs(&self.link) {
                let renamed = |list: &Value| -> Vec<String> {
                    let list = list.as_array().expect("a list").iter();
                    list.map(|word| name(copy, &text(word))).collect()
                };
                let (inputs, mut outputs) = (renamed(&job["inputs"]), renamed(&job["outputs"]));
                for output in &mut outputs {
                    write!(output, ".{copy}").expect("a string");
                }
                let own = |word: &str| -> String {
                    let old = [&job["inputs"][0], &job["inputs"][1], &job["outputs"][0]].map(text);
                    let new = [&inputs[0], &inputs[1], &outputs[0]];
                    let mut word = word.to_owned();
                    for (old, new) in old.iter().zip(new) {
                        if let Some(before) = word.strip_suffix(old.as_str()) {
                            word = format!("{before}{new}");
                            break;
                        }
                    }
                    word
                };
                let list = job["args"].as_array().expect("a list").iter();
                let mut args: Vec<String> = list.map(|word| own(&text(word))).collect();
                args.insert(0, format!("-fdebug-compilation-dir=/copy/{copy}"));
                all.push(json!({"args": args, "inputs": inputs, "outputs": outputs}));
            }
        }
        let link = json!({"common": self.link["common"], "jobs": all});
        let path = self.dir().join(file);
        fs::write(&path, link.to_string()).expect("written");
        path
    }

    fn copy_files(&self, copy: usize) {
        let dir = self.dir().join(copy.to_string());
        if dir.exists() {
            return;
        }
        fs::create_dir(&dir).expect("a directory");
        for job in jobs(&self.link) {
            let [module, shard] = [0, 1].map(|at| text(&job["inputs"][at]));
            fs::copy(self.dir().join(&module), dir.join(&module)).expect("copied");
            let bytes = fs::read(self.dir().join(&shard)).expect("a shard");
            let index = Index::parse(&bytes).expect("a shard of lld");
            let names: Vec<Vec<u8>> = index
                .modules()
                .iter()
                .map(|entry| [format!("{copy}/").as_bytes(), &entry.path].concat())
                .collect();
            let renamed = index.rewrite(&names);
            fs::write(dir.join(&shard), renamed.expect("good names").bytes).expect("written");
        }
    }

    /// Bytes of the modules and the shard that the job of `module` reads.
    pub(crate) fn bytes_read(&self, module: &str) -> u64 {
        let inputs = self.job(module)["inputs"].as_array().expect("a list");
        let size = |name: &Value| {
            fs::metadata(self.dir().join(text(name)))
                .expect("there")
                .len()
        };
        inputs.iter().map(size).sum()
    }

    /// Puts away what an earlier run of `job_file` has left: lld's directory holds no objects yet,
    /// either. Removing them would be measured in the next run: ext4 walks past each inode that was
    /// freed in the last minutes when it wants a new one.
    pub(crate) fn put_objects_away(&self, job_file: &Path) {
        let file = fs::read(job_file).expect("read");
        let link: Value = serde_json::from_slice(&file).expect("a job file");
        let away = self.new_dir("away-");
        for (number, job) in jobs(&link).iter().enumerate() {
            let object = self.dir().join(text(&job["outputs"][0]));
            match fs::rename(object, away.join(number.to_string())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
    }

    /// relto, as lld starts it.
    pub(crate) fn relto(&self, home: &Home, job_file: &Path, options: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        home.apply(&mut command);
        command.current_dir(self.dir()).args(options).arg(job_file);
        command
    }
}

fn jobs(link: &Value) -> &[Value] {
    link["jobs"].as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
