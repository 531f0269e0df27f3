//! What a link compiles again after one edit, by whole keys and by slice keys; `benches/README.md`
//! says how to read it.
//!
//! The programs are real ones, from registries; each edit replaces one text of one file. Every
//! object is compared with the one that the compiler writes in place. Then the time of a link after
//! one of the edits is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto_testing::backends::backends;
use relto_testing::corpus::cached;
use relto_testing::link::{Home, Link};
use relto_testing::llvm::run as run_tool;
use relto_testing::measure::{BenchArguments, Sample, median, run, show};
use relto_testing::outcome::LinkOutcome;
use relto_testing::program::{Edited, EditedProgram, Program};

/// Programs by the words that the benchmark is started with, and what it does without them.
const PROGRAMS: [&str; 5] = ["zstd", "lua", "sqlite", "cryptopp", "rocksdb"];
const DEFAULT: [&str; 1] = ["zstd"];

const HEAD: &str = "| edit | file | objects that change | run, whole keys | run, slice keys |\n\
    |---|---|---|---|---|\n";

fn main() {
    let arguments = BenchArguments::get();
    let default = DEFAULT.map(str::to_owned);
    let chosen: Vec<String> = arguments
        .words()
        .iter()
        .filter(|word| PROGRAMS.contains(&word.as_str()))
        .cloned()
        .collect();
    let names = if chosen.is_empty() {
        &default[..]
    } else {
        &chosen
    };
    let runs = arguments.number("--runs").unwrap_or(5);
    let only_times = arguments.has("times");
    for name in names {
        let program = EditedProgram::named(name);
        if !only_times {
            table(&program);
        }
        times(&program, TIMED, runs);
    }
}

/// By its position, the edit after which a link is measured.
const TIMED: usize = 4;

/// Measures, in turn, a link with nothing changed, the link after an edit, and the compilers that
/// have to run after it, by themselves.
fn times(program: &EditedProgram, edit: usize, runs: usize) {
    let edit = &program.edits[edit];
    let (base, edited) = (program.base(), program.edited(edit));
    let original = &base.modules[edited.module];
    let link = Link::new(&base).env("RELTO_SLICE_KEYS", "on");
    let module = link.dir().join(original.file_name().expect("a name"));
    let home = Home::new();
    let command = |home: &Home| link.command(home);
    for _ in 0..2 {
        run(&command(&home), 1);
    }
    let compile = Compiles::new(&edited);
    let mut rows: Vec<[Sample; 3]> = Vec::new();
    for _ in 0..runs {
        let home = copy_of(&home);
        fs::copy(original, &module).expect("copied");
        run(&command(&home), 1);
        let unchanged = run(&command(&home), 1);
        fs::copy(&edited.program.modules[edited.module], &module).expect("copied");
        let after = run(&command(&home), 1);
        rows.push([unchanged, after, run(&compile.command, 1)]);
    }
    show(&format!(
        "a link after the edit `{}` of {}; {runs} rounds, medians\n\n\
         |  | nothing changed | after the edit | its compiler alone | the rest |\n|---|---|---|---|---|\n",
        edit.name, edit.file
    ));
    for (name, what) in [
        ("wall, s", (|it: &Sample| it.wall) as fn(&Sample) -> f64),
        ("processor, s", |it| it.cpu),
    ] {
        let of = |column: usize| median(rows.iter().map(|row| what(&row[column])));
        let rest = rows
            .iter()
            .map(|row| what(&row[1]) - what(&row[0]) - what(&row[2]));
        show(&format!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} |\n",
            of(0),
            of(1),
            of(2),
            median(rest)
        ));
    }
    show("\n");
}

/// The same state and caches, in another directory.
fn copy_of(home: &Home) -> Home {
    let copy = Home::new();
    let mut cp = Command::new("cp");
    run_tool(cp.arg("-aT").arg(home.path()).arg(copy.path()));
    copy
}

/// The backends that a link needs whose other objects are kept.
struct Compiles {
    command: Command,
    _outcome: LinkOutcome,
}

impl Compiles {
    /// Of the edited module alone.
    fn new(edited: &Edited) -> Self {
        let outcome = Link::reference(&edited.program)
            .keep_objects()
            .run()
            .expect_works();
        let file = edited.program.modules[edited.module].file_name();
        let file = file.expect("a name").to_string_lossy().into_owned();
        let link = outcome.job_file();
        let jobs = link["jobs"].as_array().expect("a list").iter();
        let own = jobs.filter(|job| job["inputs"][0] == file.as_str());
        Self {
            command: backends(outcome.dir(), &link, own, 1),
            _outcome: outcome,
        }
    }
}

/// The table of a program.
fn table(program: &EditedProgram) {
    let base = program.base();
    let kept = kept_objects(program);
    let (whole, sliced) = (Home::new(), Home::new());
    let before = in_place(&base, &kept);
    show(&format!(
        "{}, {} jobs\n\n{HEAD}",
        program.name,
        before.len()
    ));
    compare("the base", &before, &link(&base, "off", &whole).objects);
    compare("the base", &before, &link(&base, "on", &sliced).objects);
    let mut sums = [0; 3];
    for (edit, number) in program.edits.iter().zip(1..) {
        let edited = program.edited(edit);
        let name = format!("{number}. {}", edit.name);
        let reference = in_place(&edited.program, &kept);
        let by_whole = link(&edited.program, "off", &whole);
        let by_slice = link(&edited.program, "on", &sliced);
        compare(&name, &reference, &by_whole.objects);
        compare(&name, &reference, &by_slice.objects);
        let changed = reference.iter().filter(|(job, it)| before[*job] != **it);
        let counts = [changed.count(), by_whole.ran, by_slice.ran];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        row(&name, edit.file, counts);
    }
    row("all", "", sums);
    show("\n");
}

fn row(name: &str, file: &str, [changed, whole, sliced]: [usize; 3]) {
    show(&format!(
        "| {name} | {file} | {changed} | {whole} | {sliced} |\n"
    ));
}

/// Objects by the names of their modules.
type Objects = BTreeMap<String, Vec<u8>>;

fn objects(outcome: &LinkOutcome) -> Objects {
    let link = outcome.job_file();
    let jobs = link["jobs"].as_array().expect("a list").iter();
    let names = jobs.map(|job| job["args"][0].as_str().expect("a module").to_owned());
    names.zip(outcome.objects()).collect()
}

/// All objects are those of the compiler in place.
fn compare(name: &str, in_place: &Objects, ours: &Objects) {
    let jobs = in_place
        .keys()
        .filter(|job| in_place.get(*job) != ours.get(*job));
    let wrong: Vec<_> = jobs.collect();
    assert_eq!(in_place.len(), ours.len(), "jobs after `{name}`");
    assert!(wrong.is_empty(), "WRONG OBJECTS after `{name}`: {wrong:?}");
}

/// A link's objects, and how many compilers ran.
struct Linked {
    objects: Objects,
    ran: usize,
}

fn link(program: &Program, switch: &str, home: &Home) -> Linked {
    let outcome = Link::new(program)
        .env("RELTO_SLICE_KEYS", switch)
        .keep_objects()
        .run_at(home)
        .expect_works();
    let counts = outcome.counts();
    Linked {
        objects: objects(&outcome),
        ran: counts.jobs - counts.cached,
    }
}

/// Where the compiler's objects are kept from one run to the next.
fn kept_objects(program: &EditedProgram) -> PathBuf {
    cached(&format!("in-place-{}", program.name), "", |_| {})
}

fn in_place(program: &Program, kept: &Path) -> Objects {
    let outcome = Link::reference(program)
        .env("REFERENCE_OBJECTS", &kept.display().to_string())
        .keep_objects()
        .run()
        .expect_works();
    objects(&outcome)
}
