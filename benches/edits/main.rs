//! What a link compiles again after one edit, by whole keys and by slice keys; `benches/README.md`
//! says how to read it.
//!
//! The programs are real ones, from registries; each edit replaces one text of one file. Every
//! object is compared with the one that the compiler writes in place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use relto_testing::corpus::cached;
use relto_testing::link::{Home, Link};
use relto_testing::measure::{BenchArguments, show};
use relto_testing::outcome::LinkOutcome;
use relto_testing::program::{EditedProgram, Program};

/// Programs by the words that the benchmark is started with, and what it does without words.
const DEFAULT: [&str; 1] = ["zstd"];

const HEAD: &str = "| edit | file | objects that change | run, whole keys | run, slice keys |\n\
    |---|---|---|---|---|\n";

fn main() {
    let arguments = BenchArguments::get();
    let default = DEFAULT.map(str::to_owned);
    let names = match arguments.words() {
        [] => &default,
        words => words,
    };
    for name in names {
        table(&EditedProgram::named(name));
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
