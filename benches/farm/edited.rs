//! `edited`: what a link costs after an edit of a module that most others import and hardly any of
//! them sees, by slice keys.
//!
//! The link is made of copies of a small one. Each copy has modules of its own, as different as a
//! name in them makes them, but two thirds of the copies share one module, which is edited: what
//! the edit changes is imported in ten copies, by one module each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::thinlto::Index;
use relto_testing::farm::{Farm, Profile, TimedResult, TimedWorkers};
use relto_testing::link::{Home, Link};
use relto_testing::llvm::{Llvm, run as run_tool};
use relto_testing::measure::{run, show};
use relto_testing::program::Program;
use relto_testing::saved::copy_files;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::replay::number;

/// Modules of a copy that import from each other and from the shared one.
const MODULES: usize = 50;
/// Copies in which a module imports what is edited.
const SEEING: usize = 10;
/// The shared module. Its name is the last, also with a copy's directory before the others.
const SHARED: &str = "z.o";
/// A name in every module that differs from copy to copy.
const TAG: &[u8] = b"tag_000000";

pub(crate) fn edited(jobs: Option<usize>) {
    let texts = Texts::new();
    let (before, after) = (Linked::of(&texts, 7), Linked::of(&texts, 9));
    let objects = before.objects();
    let farm = Farm::timed(
        Profile::cheap(),
        TimedWorkers::new(10_000, move |module| {
            let name = Path::new(module).file_name().expect("a name");
            let mut named = objects.iter().filter(|(known, _)| name == known.as_str());
            named.next().expect("a module of ours").1.clone()
        }),
    );
    let link = Copies::new(jobs.unwrap_or(30_000).div_ceil(MODULES + 1));
    let home = Home::new();
    let (file, count, missed) = link.write(&before, &before);
    let relto = |file: &Path, switch: &str| link.relto(&home, file, &farm, switch);
    let measure = |name: &str, switch: &str, file: &Path| {
        link.put_objects_away();
        let results = farm.results().len();
        let sample = run(&relto(file, switch), 1);
        let ran = farm.results().len() - results;
        show(&format!(
            "{name:22} slice keys {switch:3}  {ran:6} ran  {:8.2} s of processor  {:7.3} ms a job  {:5.0} MiB\n",
            sample.cpu,
            sample.cpu * 1000.0 / number(count),
            sample.memory,
        ));
        sample.cpu
    };
    show(&format!(
        "{count} jobs, {missed} of them import from the edited module\n"
    ));
    measure("nothing cached", "on", &file);
    let cached = measure("all cached", "off", &file);
    measure("all cached", "on", &file);
    let (file, ..) = link.write(&after, &before);
    let whole = measure("one module edited", "on", &file);
    let others = cached * number(count - missed) / number(count);
    show(&format!(
        "{:.3} ms of processor a missed job\n",
        (whole - others) * 1000.0 / number(missed)
    ));
    measure("all cached again", "on", &file);
}

/// Modules, compiled under names without directories: they stand in the modules.
struct Texts(TempDir);

impl Texts {
    fn new() -> Self {
        let texts = Self(TempDir::new().expect("a directory"));
        for module in 0..MODULES {
            texts.compile(&format!("m{module:04}.c"), &module_text(module, false));
        }
        texts.compile("m0000s.c", &module_text(0, true));
        let sums: Vec<_> = (0..MODULES).map(|it| format!("sum{it}(1)")).collect();
        let mut main = "#include <stdio.h>\n".to_owned();
        for module in 0..MODULES {
            writeln!(main, "int sum{module}(int);").expect("a string");
        }
        let sum = sums.join(" + ");
        writeln!(
            main,
            "int main(void) {{ printf(\"ok %d\\n\", {sum}); return 0; }}"
        )
        .expect("a string");
        texts.compile("main.c", &main);
        texts
    }

    fn compile(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(self.0.path());
        clang.args(["-O2", "-flto=thin", "-c", name, "-o"]);
        run_tool(clang.arg(Path::new(name).with_extension("o")));
    }

    /// The program whose shared module has this number where only few look; `seeing` says whether
    /// one of the others does.
    fn program(&self, number: u32, seeing: bool) -> Program {
        let shared = format!(
            "static int counter;\n\
             __attribute__((noinline)) static int helper(int x) {{ return x * counter++ + 3; }}\n\
             int shared(int x) {{ return helper(x) + 1; }}\n\
             int special(int x) {{ return helper(x) * {number}; }}\n"
        );
        self.compile(&SHARED.replace(".o", ".c"), &shared);
        let modules = (0..MODULES).map(|module| match (module, seeing) {
            (0, true) => "m0000s.o".to_owned(),
            _ => format!("m{module:04}.o"),
        });
        let names = ["main.o".to_owned()].into_iter().chain(modules);
        let names = names.chain([SHARED.to_owned()]);
        let modules = names.map(|name| self.0.path().join(name));
        Program::c("edited", modules.collect())
    }
}

fn module_text(module: usize, seeing: bool) -> String {
    let others = (0..MODULES).filter(|other| *other != module);
    let mut text =
        "__attribute__((weak)) int tag_000000;\nint shared(int), special(int);\n".to_owned();
    let mut sum = String::new();
    for other in others {
        writeln!(text, "int leaf{other}(int);").expect("a string");
        write!(sum, " + leaf{other}(x)").expect("a string");
    }
    let special = if seeing { " + special(x)" } else { "" };
    writeln!(
        text,
        "int leaf{module}(int x) {{ return x + {module}; }}\n\
         int sum{module}(int x) {{ return shared(x){special}{sum}; }}"
    )
    .expect("a string");
    text
}

/// Real links of the two kinds of copies: those that see the edit, and the others.
struct Linked([(TempDir, Value); 2]);

impl Linked {
    fn of(texts: &Texts, number: u32) -> Self {
        Self([true, false].map(|seeing| {
            let program = texts.program(number, seeing);
            let outcome = Link::reference(&program)
                .keep_objects()
                .run()
                .expect_works();
            let dir = TempDir::new().expect("a directory");
            copy_files(outcome.dir(), dir.path());
            (dir, outcome.job_file())
        }))
    }

    /// What is made of each module.
    fn objects(&self) -> Vec<(String, TimedResult)> {
        let of_one = |(dir, link): &(TempDir, Value)| -> Vec<(String, TimedResult)> {
            let jobs = jobs(link).iter().map(|job| {
                let object = fs::read(dir.path().join(text(&job["outputs"][0])));
                let object = object.expect("an object");
                let made = TimedResult {
                    takes: Duration::ZERO,
                    digest: DigestFunction::Sha256.digest(&object),
                    object: Bytes::from(object),
                };
                (text(&job["inputs"][0]), made)
            });
            jobs.collect()
        };
        self.0.iter().flat_map(of_one).collect()
    }
}

/// The large link.
struct Copies {
    dir: TempDir,
    count: usize,
}

impl Copies {
    fn new(count: usize) -> Self {
        let dir = TempDir::new().expect("a directory");
        fs::create_dir(dir.path().join("objects")).expect("made");
        Self { dir, count }
    }

    /// Writes the modules and shards of all copies, those with a shared module of their own as
    /// `unedited`. Returns the job file, the number of jobs and of those that import from the edited
    /// module.
    fn write(&self, edited: &Linked, unedited: &Linked) -> (PathBuf, usize, usize) {
        let mut all = Vec::new();
        let mut missed = 0;
        for copy in 0..self.count {
            let is_edited = copy * 3 < self.count * 2;
            let linked = if is_edited { edited } else { unedited };
            let (dir, link) = &linked.0[usize::from(copy >= SEEING)];
            let home = if is_edited {
                "edited".to_owned()
            } else {
                copy.to_string()
            };
            for job in jobs(link) {
                let is_shared = text(&job["inputs"][0]) == SHARED;
                if is_shared && is_edited && copy > 0 {
                    continue;
                }
                let placed = |name: &str| match name {
                    SHARED => format!("{home}/{name}"),
                    _ => format!("{copy}/{name}"),
                };
                let imports = job["inputs"].as_array().expect("a list");
                let is_missed = imports.iter().any(|it| text(it) == SHARED) && is_edited;
                missed += usize::from(is_missed);
                all.push(self.job(dir.path(), job, copy, &placed));
            }
        }
        let (_, link) = &edited.0[0];
        let count = all.len();
        let file = self.dir.path().join("jobs.json");
        let text = json!({"common": link["common"], "jobs": all}).to_string();
        fs::write(&file, text).expect("written");
        (file, count, missed)
    }

    /// Writes the files of one job, and returns it.
    fn job(&self, from: &Path, job: &Value, copy: usize, placed: &dyn Fn(&str) -> String) -> Value {
        let names: Vec<String> = job["inputs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(text)
            .collect();
        let (module, shard) = (&names[0], &names[1]);
        let mut bytes = fs::read(from.join(module)).expect("a module");
        let tag = format!("tag_{copy:06}");
        if module != SHARED {
            while let Some(at) = bytes.windows(TAG.len()).position(|it| it == TAG) {
                if copy == 0 {
                    break;
                }
                bytes[at..at + TAG.len()].copy_from_slice(tag.as_bytes());
            }
        }
        self.put(&placed(module), &bytes);
        let bytes = fs::read(from.join(shard)).expect("a shard");
        let index = Index::parse(&bytes).expect("a shard of lld");
        let paths: Vec<Vec<u8>> = index
            .modules()
            .iter()
            .map(|entry| placed(std::str::from_utf8(&entry.path).expect("a name")).into_bytes())
            .collect();
        let renamed = index.rewrite(&paths).expect("good names").bytes;
        self.put(&placed(shard), &renamed);
        let inputs: Vec<String> = names.iter().map(|name| placed(name)).collect();
        let object = format!("objects/{copy}-{}", text(&job["outputs"][0]));
        let list = job["args"].as_array().expect("a list").iter();
        let args = list.map(|word| {
            let word = text(word);
            let known = [
                (module.as_str(), &inputs[0]),
                (shard.as_str(), &inputs[1]),
                (job["outputs"][0].as_str().expect("a text"), &object),
            ];
            let mut known = known.iter().filter(|(old, _)| word.ends_with(old));
            match known.next() {
                Some((old, new)) => format!("{}{new}", word.strip_suffix(old).expect("its end")),
                None => word,
            }
        });
        let args: Vec<String> = args.collect();
        json!({"args": args, "inputs": inputs, "outputs": [object]})
    }

    /// A file that is there already, with these bytes, is left alone: its times would be new.
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            return;
        }
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, bytes).expect("written");
    }

    /// lld's directory holds no objects yet when relto starts.
    fn put_objects_away(&self) {
        let away = tempfile::Builder::new()
            .prefix("away-")
            .disable_cleanup(true)
            .tempdir_in(self.dir.path())
            .expect("a directory");
        let objects = self.dir.path().join("objects");
        fs::rename(&objects, away.path().join("objects")).expect("moved");
        fs::create_dir(&objects).expect("made");
    }

    fn relto(&self, home: &Home, job_file: &Path, farm: &Farm, switch: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        home.apply(&mut command);
        command.current_dir(self.dir.path()).args([
            &format!("--remote-executor={}", farm.address()),
            &format!("--slice-keys={switch}"),
            "--strategy=remote",
        ]);
        command.arg(job_file);
        command
    }
}

fn jobs(link: &Value) -> &[Value] {
    link["jobs"].as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
