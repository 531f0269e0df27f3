//! Index shards of real links: clang and lld make them, relto reads and rewrites them.
//!
//! The compiler is clang 22 under its Debian name. A link is captured by a distributor that copies
//! the whole directory and fails; so shards carry lld's PID in the names of archive members, as
//! they do in real life.

mod command;
mod program;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use relto::internals::thinlto::{Form, Index, module};
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::saved::captured;

const CLANG: &str = "clang++-22";
const LLD: &str = "ld.lld-22";
const AR: &str = "llvm-ar-22";

#[derive(Deserialize)]
struct JobFile {
    common: Common,
    jobs: Vec<BackendJob>,
}

#[derive(Deserialize)]
struct Common {
    args: Vec<String>,
}

#[derive(Deserialize)]
struct BackendJob {
    args: Vec<String>,
    inputs: Vec<String>,
}

impl BackendJob {
    /// Input 1 is the shard, all others are modules, the job's own first.
    fn modules(&self) -> Vec<&str> {
        let inputs = self.inputs.iter().enumerate();
        inputs
            .filter(|(position, _)| *position != 1)
            .map(|(_, path)| path.as_str())
            .collect()
    }
}

/// The directory of a link, as it was while the distributor ran.
struct Capture {
    dir: PathBuf,
    file: JobFile,
}

impl Capture {
    fn shard(&self, job: &BackendJob) -> Vec<u8> {
        fs::read(self.dir.join(&job.inputs[1])).expect("the shard was copied")
    }

    /// The job's shard with canonical names in canonical order.
    fn rewritten(&self, job: &BackendJob) -> (Vec<u8>, Form) {
        let shard = self.shard(job);
        let index = Index::parse(&shard).expect("lld's shard parses");
        let rewritten = index
            .rewrite(&canonical_names(&index))
            .expect("the names are one-to-one");
        (rewritten.bytes, rewritten.form)
    }

    fn all_rewritten(&self) -> Vec<Vec<u8>> {
        let jobs = self.file.jobs.iter();
        jobs.map(|job| self.rewritten(job).0).collect()
    }
}

/// Names by rank: LLVM writes the entries in the order of their paths.
fn canonical_names(index: &Index<'_>) -> Vec<String> {
    let ranks = 0..index.modules().len();
    ranks.map(|rank| format!("relto/m/{rank:04}.bc")).collect()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("clang 22 and lld 22 are installed");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles the program into `dir`; the objects, relative to it, in link order.
fn compile(dir: &Path, flags: &[&str]) -> Vec<String> {
    let mut objects = Vec::new();
    for (name, source) in program::sources() {
        fs::write(dir.join(&name), source).expect("written");
        let object = format!("{name}.o");
        run(Command::new(CLANG)
            .current_dir(dir)
            .args(["-c", "-O2", "-flto=thin", "-std=c++17", "-fno-exceptions"])
            .args(["-fvisibility=hidden", "-o", &object, &name])
            .args(flags));
        objects.push(object);
    }
    objects
}

/// Links `inputs` in `dir` and keeps what the distributor would have seen.
fn capture(dir: &Path, inputs: &[String]) -> Capture {
    let copy = tempfile::tempdir_in(dir.parent().expect("a parent")).expect("a directory");
    let copied = copy.keep().join("copy");
    let mut link = Command::new(LLD);
    link.current_dir(dir)
        .args(["-e", "main", "--unresolved-symbols=ignore-all", "-o", "app"])
        .args([
            "--lto-whole-program-visibility",
            "--thinlto-remote-compiler=clang",
        ])
        .args(inputs);
    let jobs = captured(&mut link, &copied);
    Capture {
        dir: copied,
        file: serde_json::from_slice(&jobs).expect("lld's job file"),
    }
}

/// A new directory inside `outer` that holds copies of `files` of `from`.
fn copy_into(outer: &TempDir, name: &str, from: &Path, files: &[String]) -> PathBuf {
    let dir = outer.path().join(name);
    fs::create_dir_all(&dir).expect("created");
    for file in files {
        fs::copy(from.join(file), dir.join(file)).expect("copied");
    }
    dir
}

fn archive(dir: &Path, name: &str, objects: &[String]) -> Vec<String> {
    run(Command::new(AR)
        .current_dir(dir)
        .args(["rcs", name])
        .args(objects));
    vec!["--whole-archive".to_owned(), name.to_owned()]
}

const DEVIRTUALIZED: &[&str] = &["-fwhole-program-vtables", "-fno-split-lto-unit"];

#[test]
fn a_shard_with_its_own_names_in_its_own_order_is_the_shard_itself() {
    let outer = tempfile::tempdir().expect("a directory");
    for (name, flags) in [
        ("plain", &[][..]),
        ("devirtualized", DEVIRTUALIZED),
        ("split", &["-fwhole-program-vtables"]),
        ("cfi", &["-fsanitize=cfi", "-fno-sanitize-ignorelist"]),
    ] {
        let dir = copy_into(&outer, name, Path::new(""), &[]);
        let objects = compile(&dir, flags);
        let captured = capture(&dir, &objects);
        for job in &captured.file.jobs {
            let shard = captured.shard(job);
            let index = Index::parse(&shard).expect("lld's shard parses");
            let named: BTreeSet<_> = index.modules().iter().map(|m| m.path.clone()).collect();
            let inputs = job
                .modules()
                .into_iter()
                .map(|path| path.as_bytes().to_vec());
            assert_eq!(named, inputs.collect());

            let same_names: Vec<_> = named.into_iter().collect();
            let canonical = index.rewrite(&same_names).expect("rewritten");
            assert_eq!(canonical.form, Form::Canonical, "{name}: {}", job.inputs[1]);
        }
    }
}

#[test]
fn other_directories_archives_and_pids_give_the_same_canonical_shards() {
    let outer = tempfile::tempdir().expect("a directory");
    let built = copy_into(&outer, "build", Path::new(""), &[]);
    let objects = compile(&built, DEVIRTUALIZED);
    let plain = capture(&built, &objects);

    let absolute: Vec<String> = objects
        .iter()
        .map(|object| built.join(object).display().to_string())
        .collect();
    let elsewhere = copy_into(&outer, "another directory", &built, &objects);
    let members = archive(&elsewhere, "libprogram.a", &objects);
    let renamed = copy_into(&outer, "third", &built, &objects);
    let other_members = archive(&renamed, "z+other.a", &objects);
    let links = [
        capture(&built, &absolute),
        capture(&elsewhere, &members),
        capture(&elsewhere, &members),
        capture(&renamed, &other_members),
    ];

    let expected = plain.all_rewritten();
    assert_eq!(expected.len(), objects.len());
    for link in &links {
        assert!(link.all_rewritten() == expected);
    }
    let reordered = plain.file.jobs.iter().any(|job| {
        let shard = plain.shard(job);
        let index = Index::parse(&shard).expect("lld's shard parses");
        let own_names: Vec<_> = index.modules().iter().map(|entry| &entry.path).collect();
        index.rewrite(&own_names).expect("rewritten").bytes != shard
    });
    assert!(reordered, "the program is too small to show the need");
}

#[test]
fn objects_from_canonical_shards_equal_those_made_in_place() {
    let outer = tempfile::tempdir().expect("a directory");
    let built = copy_into(&outer, "build", Path::new(""), &[]);
    let objects = compile(&built, DEVIRTUALIZED);
    let members = archive(&built, "libprogram.a", &objects);
    let link = capture(&built, &members);
    for (number, job) in link.file.jobs.iter().enumerate() {
        let mut in_place = Command::new(CLANG);
        in_place
            .current_dir(&link.dir)
            .args(&link.file.common.args[1..])
            .args(&job.args);
        run(&mut in_place);
        let object = job.args.last().expect("the output is last");
        let expected = fs::read(link.dir.join(object)).expect("an object");
        let name = format!("canonical-{number}");
        assert!(expected.len() > 500, "{object} holds no code");
        assert!(
            canonical_object(&outer, &name, &link, job) == expected,
            "{object}"
        );
    }
}

/// The object that the job's command makes in a directory where everything has its canonical name.
fn canonical_object(outer: &TempDir, name: &str, link: &Capture, job: &BackendJob) -> Vec<u8> {
    let dir = outer.path().join(name);
    fs::create_dir_all(dir.join("relto/m")).expect("created");
    let (shard, form) = link.rewritten(job);
    assert_eq!(form, Form::Canonical);
    fs::write(dir.join("index.thinlto.bc"), shard).expect("written");
    let mut paths = job.modules();
    paths.sort_unstable();
    for (rank, path) in paths.iter().enumerate() {
        let module = dir.join(format!("relto/m/{rank:04}.bc"));
        fs::copy(link.dir.join(path), module).expect("copied");
    }
    let own = paths.iter().position(|path| *path == job.inputs[0]);
    run(Command::new(CLANG)
        .current_dir(&dir)
        .args(&link.file.common.args[1..])
        .arg(format!("relto/m/{:04}.bc", own.expect("the job's module")))
        .args(["-fthinlto-index=index.thinlto.bc", "-o", "out.o"]));
    fs::read(dir.join("out.o")).expect("an object")
}

#[test]
fn the_hash_in_a_shard_is_the_one_that_the_module_carries() {
    let outer = tempfile::tempdir().expect("a directory");
    for (name, flags, modules) in [
        ("one", &[][..], 1),
        ("two", &["-fwhole-program-vtables"], 2),
    ] {
        let dir = copy_into(&outer, name, Path::new(""), &[]);
        let objects = compile(&dir, flags);
        let link = capture(&dir, &objects);
        for job in &link.file.jobs {
            let shard = link.shard(job);
            for entry in Index::parse(&shard).expect("parses").modules() {
                let path = String::from_utf8(entry.path.clone()).expect("our own name");
                let bytes = fs::read(link.dir.join(path)).expect("an input");
                let facts = module::facts(&bytes).expect("a module");
                assert!(facts.hashes.contains(&entry.hash.expect("clang hashes")));
                assert!(facts.triple.starts_with("x86_64-"), "{}", facts.triple);
                assert_eq!(facts.modules, modules);
            }
        }
    }
}

#[test]
fn an_object_that_lld_does_not_extract_has_a_shard_that_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let objects = compile(dir.path(), &[]);
    fs::write(dir.path().join("idle.c"), "int idle;\n").expect("written");
    run(Command::new(CLANG).current_dir(&dir).args([
        "-c",
        "-flto=thin",
        "-xc",
        "idle.c",
        "-o",
        "idle.o",
    ]));
    run(Command::new(LLD)
        .current_dir(&dir)
        .args(["--thinlto-index-only", "-e", "main", "-o", "app"])
        .arg("--unresolved-symbols=ignore-all")
        .args(&objects)
        .args(["--start-lib", "idle.o", "--end-lib"]));
    for (object, skipped) in [(&objects[0][..], false), ("idle.o", true)] {
        let shard = fs::read(dir.path().join(format!("{object}.thinlto.bc")));
        let shard = shard.expect("every object gets a shard");
        let index = Index::parse(&shard).expect("parses");
        assert_eq!(index.flags().skip_module(), skipped, "{object}");
        assert_eq!(index.modules().is_empty(), skipped, "{object}");
    }
}

#[test]
fn a_path_that_lld_damaged_is_recognized() {
    let dir = tempfile::tempdir().expect("a directory");
    let objects = compile(dir.path(), &[]);
    let odd = "caf\u{e9}/part.o";
    fs::create_dir_all(dir.path().join("caf\u{e9}")).expect("created");
    fs::copy(dir.path().join(&objects[0]), dir.path().join(odd)).expect("copied");
    run(Command::new(LLD)
        .current_dir(&dir)
        .args(["--thinlto-index-only", "-e", "main", "-o", "app", odd])
        .arg("--unresolved-symbols=ignore-all"));
    let shard = fs::read(dir.path().join(format!("{odd}.thinlto.bc"))).expect("a shard");
    let index = Index::parse(&shard).expect("parses");
    let entry = &index.modules()[0];
    assert_eq!(entry.damaged, entry.path != odd.as_bytes());
    assert!(entry.damaged, "lld 22 cannot write this path");
}
