//! A random program, its links by lld as relto gets them, and the objects that clang writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use serde_json::Value;
use tempfile::TempDir;

use crate::slices::source::{Language, Random, RandomProgram};
use crate::support::farm::{Farm, Profile};
use crate::support::link::Home;
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::texts;
use crate::support::remote::here;
use crate::support::saved::{captured, copy_files};

/// What modules are compiled with.
const FLAGS: [&[&str]; 8] = [
    &["-O2", "-fPIE"],
    &["-O1", "-fPIE"],
    &["-O2", "-fPIE", "-fvisibility=hidden"],
    &["-Os", "-fPIE"],
    &["-O3", "-fPIE", "-march=x86-64-v3"],
    &["-O2", "-fPIE", "-fno-plt", "-fstack-protector-strong"],
    &["-O2", "-fPIE", "-g"],
    &["-O2", "-fPIE", "-fsplit-lto-unit"],
];

/// What lld is told beyond that.
const LINK_OPTIONS: [&[&str]; 8] = [
    &[],
    &[],
    &["--lto-O1"],
    &["--lto-O3", "--lto-CGO2"],
    &["--icf=all", "--gc-sections"],
    &["-mllvm=-import-instr-limit=5"],
    &["--lto-whole-program-visibility"],
    &["-shared"],
];

/// A program in a directory, and all that outlives one link of it.
pub(super) struct Lab {
    dir: TempDir,
    flags: &'static [&'static str],
    language: Language,
    program: RandomProgram,
    /// What the modules' objects were compiled from.
    compiled: HashMap<usize, String>,
    /// By the job's command line and inputs.
    in_place: HashMap<String, Vec<u8>>,
    pub(super) cache: TempDir,
    pub(super) farm: Farm,
    /// Whether relto's state is that of other programs, too; the compiler is known then.
    home: Option<Home>,
}

impl Lab {
    pub(super) fn new(random: &mut Random) -> Self {
        let language = [Language::Cxx, Language::C][random.below(2)];
        let modules = 2 + random.below(4);
        let mut lab = Self {
            dir: TempDir::new().expect("a directory"),
            flags: FLAGS[random.below(FLAGS.len())],
            language,
            program: RandomProgram::new(random, language, modules),
            compiled: HashMap::new(),
            in_place: HashMap::new(),
            cache: TempDir::new().expect("a directory"),
            farm: Farm::start(Profile {
                inlines: random.below(2) == 0,
                ..Profile::plain()
            }),
            home: (random.below(12) == 0).then(Home::new),
        };
        for number in 0..lab.program.len() {
            assert!(lab.compile(number), "the first program compiles");
        }
        lab
    }

    pub(super) fn home(&self) -> &Home {
        self.home.as_ref().unwrap_or_else(|| here())
    }

    /// Compiles a module, if its text has changed. Returns whether that works.
    fn compile(&mut self, number: usize) -> bool {
        let text = self.program.text(number);
        if self.compiled.get(&number) == Some(&text) {
            return true;
        }
        let language = self.language;
        let source = format!("m{number}.{}", language.extension());
        let path = self.dir.path().join(&source);
        fs::write(path, &text).expect("written");
        let mut command = Llvm::get().command(match language {
            Language::C => "clang",
            Language::Cxx => "clang++",
        });
        command.current_dir(self.dir.path());
        command.args(["-w", "-flto=thin", "-c"]).args(self.flags);
        command.args([&source, "-o", &format!("m{number}.o")]);
        command.stderr(Stdio::null());
        let works = command.status().expect("clang starts").success();
        self.compiled.remove(&number);
        if works {
            self.compiled.insert(number, text);
        }
        works
    }

    /// Changes one module, in a way that compiles.
    pub(super) fn edit(&mut self, random: &mut Random) {
        loop {
            let before = self.program.clone();
            let (module, _) = self.program.edit(random);
            if self.compile(module) && self.compile(0) {
                return;
            }
            self.program = before;
            assert!(self.compile(module) && self.compile(0), "as before");
        }
    }

    /// Links the program in some form, and keeps what a distributor would have seen.
    pub(super) fn link(&mut self, random: &mut Random) -> Snapshot {
        let copy = TempDir::new().expect("a directory");
        let modules: Vec<_> = (0..self.program.len())
            .map(|number| format!("m{number}.o"))
            .collect();
        let mut words = LINK_OPTIONS[random.below(LINK_OPTIONS.len())].to_vec();
        let (main, others) = modules.split_at(1);
        let others = others.iter().map(String::as_str);
        words.push(&main[0]);
        match random.below(4) {
            0 => {
                let archive = self.dir.path().join("libm.a");
                if archive.exists() {
                    fs::remove_file(archive).expect("removed");
                }
                let mut ar = Llvm::get().command("llvm-ar");
                ar.current_dir(self.dir.path()).args(["rcs", "libm.a"]);
                run(ar.args(others));
                words.extend(["--whole-archive", "libm.a"]);
            }
            1 => {
                words.push("--start-lib");
                words.extend(others);
                words.push("--end-lib");
            }
            _ => words.extend(others),
        }
        let mut lld = Llvm::get().command("ld.lld");
        lld.current_dir(self.dir.path())
            .args(["-e", "main", "--unresolved-symbols=ignore-all", "-o", "app"])
            .arg(format!(
                "--thinlto-remote-compiler={}",
                Llvm::get().tool("clang").display()
            ))
            .args(&words);
        let dir = copy.path().join("copy");
        let text = captured(&mut lld, &dir);
        let file: Value = serde_json::from_slice(&text).expect("lld's job file");
        let mut snapshot = Snapshot {
            _copy: copy,
            dir,
            outputs: Vec::new(),
            objects: Vec::new(),
            file,
        };
        self.compile_in_place(&mut snapshot);
        snapshot
    }

    fn compile_in_place(&mut self, snapshot: &mut Snapshot) {
        let place = TempDir::new().expect("a directory");
        copy_files(&snapshot.dir, place.path());
        let common = texts(&snapshot.file["common"]["args"]);
        for job in snapshot.file["jobs"].as_array().expect("a list") {
            let (arguments, inputs) = (texts(&job["args"]), texts(&job["inputs"]));
            let output = texts(&job["outputs"]).remove(0);
            let mut contents = Vec::new();
            for input in &inputs {
                contents.extend(fs::read(place.path().join(input)).expect("an input"));
            }
            let digest = DigestFunction::Sha256.digest(&contents);
            let key = format!("{} {common:?} {inputs:?}", digest.hex());
            let object = self.in_place.entry(key).or_insert_with(|| {
                let mut clang = Command::new(&common[0]);
                clang.current_dir(place.path()).args(&common[1..]);
                run(clang.args(&arguments));
                fs::read(place.path().join(&output)).expect("an object")
            });
            snapshot.objects.push(object.clone());
            snapshot.outputs.push(output);
        }
    }
}

/// What lld gave to a distributor, and what clang makes of it.
pub(super) struct Snapshot {
    _copy: TempDir,
    pub(super) dir: PathBuf,
    file: Value,
    pub(super) outputs: Vec<String>,
    pub(super) objects: Vec<Vec<u8>>,
}

impl Snapshot {
    /// Names of all modules and shards.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        let jobs = self.file["jobs"].as_array().expect("a list").iter();
        let lists = jobs.flat_map(|job| job["inputs"].as_array().expect("a list"));
        lists.map(|name| name.as_str().expect("text"))
    }

    pub(super) fn jobs(&self) -> usize {
        self.objects.len()
    }

    /// Where `dir` has an object that is not clang's. Where its inputs are `damaged`, an object may
    /// also be what clang makes of those.
    pub(super) fn wrong_object(&self, dir: &Path, damaged: bool) -> Option<String> {
        let mut outputs = self.outputs.iter().zip(&self.objects).enumerate();
        let wrong = outputs.find(|(number, (output, object))| {
            fs::read(dir.join(output)).is_ok_and(|found| {
                found != **object
                    && !(damaged && self.in_place(dir, *number).is_some_and(|it| it == found))
            })
        });
        wrong.map(|(_, (output, _))| output.clone())
    }

    /// Whether clang alone does not end after `limit` on one of the jobs whose inputs are in `dir`.
    pub(super) fn clang_runs_longer(&self, dir: &Path, limit: Duration) -> bool {
        let place = TempDir::new().expect("a directory");
        copy_files(dir, place.path());
        let runs_longer = |number| {
            let mut clang = self.clang(place.path(), number);
            clang.stdout(Stdio::null()).stderr(Stdio::null());
            let mut clang = clang.spawn().expect("clang starts");
            let began = Instant::now();
            while clang.try_wait().expect("a child of ours").is_none() {
                if began.elapsed() > limit {
                    clang.kill().expect("killed");
                    clang.wait().expect("a child of ours");
                    return true;
                }
                thread::sleep(Duration::from_millis(10));
            }
            false
        };
        (0..self.jobs()).any(runs_longer)
    }

    /// The compiler of a job in `dir`.
    fn clang(&self, dir: &Path, number: usize) -> Command {
        let common = texts(&self.file["common"]["args"]);
        let mut clang = Command::new(&common[0]);
        clang.current_dir(dir).args(&common[1..]);
        clang.args(texts(&self.file["jobs"][number]["args"]));
        clang
    }

    /// What clang makes of the inputs in `dir`, if it finds nothing wrong.
    fn in_place(&self, dir: &Path, number: usize) -> Option<Vec<u8>> {
        let place = TempDir::new().expect("a directory");
        copy_files(dir, place.path());
        let output = self.clang(place.path(), number).output();
        let output = output.expect("clang starts");
        let object = fs::read(place.path().join(&self.outputs[number]));
        object.ok().filter(|_| output.status.success())
    }

    /// How many objects `dir` has.
    pub(super) fn found(&self, dir: &Path) -> usize {
        let outputs = self.outputs.iter();
        outputs.filter(|output| dir.join(output).exists()).count()
    }
}
