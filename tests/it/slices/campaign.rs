//! Equal slice keys mean equal objects: programs are edited, in source or in LLVM's textual form,
//! and every job whose slice key was seen before is compared with the compiler (`lab`).
//!
//! A program follows from its seed. Every run compares a few short ones. With `RELTO_TEST_LONG` set,
//! programs are compared until the figures of all runs together reach what the default of
//! `slice_keys` asks for, then real programs with edits of their sources; `RELTO_SLICES_STATE` names
//! the directory of the figures, and `RELTO_SLICES_PAIRS` and `RELTO_SLICES_THREADS` say how much and
//! how fast.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::campaign::number;
use relto::internals::digest::Digest;
use relto::internals::task::in_parallel;

use crate::support::corpus::cached;
use crate::support::kernel_edits::{EDITS as EDITS_OF_LINUX, EditedKernel};
use crate::support::llvm::{Llvm, run};
use crate::support::program::{EditedProgram, Program, zstd};
use crate::support::skip::{is_long, runs_long, skip};

use super::figures::{Campaign, Construct, Figures};
use super::ir::{self, IrModule};
use super::lab::{Flags, Lab, Target};
use super::rust::{self, RustProgram};
use super::source::{Language, Random, RandomProgram};

/// What a release must pass before slice keys are used by default: telling pairs, and those after
/// edits of each construct.
const PAIRS: u64 = 20_000;
const OF_EACH: u64 = 200;

/// Edits of one program in a long run.
const EDITS: usize = 60;
/// One program of so many is a real one.
const REAL: u64 = 40;
/// One program of so many has a module that counts whole.
const WHOLE: u64 = 5;
/// Programs in Rust whose sources are edited, and those whose intermediate form is.
const RUST: u64 = 8;
const RUST_IR: u64 = 12;
/// Modules of a made-up program.
const MODULES: usize = 8;
/// Real programs whose sources are edited, and of whose intermediate form so many random edits are
/// compared besides.
const EDITED: [(&str, &str, usize); 5] = [
    ("zstd", "C", 0),
    ("lua", "C", 60),
    ("sqlite", "C", 12),
    ("cryptopp", "C++", 12),
    ("rocksdb", "C++", 12),
];

const LEVELS: [&str; 6] = ["-O2", "-O1", "-O2", "-Os", "-O2", "-O3"];
const RELOCATIONS: [&str; 4] = ["-fPIE", "-fno-pic", "-fPIC", "-fPIE"];
const FRONT_ENDS: [&[&str]; 3] = [
    &[],
    &["-fvisibility=hidden"],
    &["-fno-asynchronous-unwind-tables"],
];
const BACKENDS: [&[&str]; 3] = [
    &["-ffunction-sections", "-fdata-sections"],
    &[],
    &["-ffunction-sections", "-fno-unique-section-names"],
];

fn flags(seed: u64, language: Language, random: &mut Random) -> Flags {
    let target = match seed % 3 {
        2 => Target::Aarch64,
        _ => Target::X86_64,
    };
    Flags {
        target,
        language: language.name(),
        level: LEVELS[random.below(LEVELS.len())],
        relocation: RELOCATIONS[random.below(RELOCATIONS.len())],
        front_end: FRONT_ENDS[random.below(FRONT_ENDS.len())],
        backend: BACKENDS[random.below(BACKENDS.len())],
        shared: false,
    }
}

/// Flags of a real program, whose modules are there already.
fn flags_of(program: &Program, language: &'static str) -> Flags {
    let shared = program.link_arguments.iter().any(|word| word == "-shared");
    Flags {
        target: Target::X86_64,
        language,
        level: "-O2",
        relocation: if shared { "-fPIC" } else { "-fPIE" },
        front_end: &[],
        backend: &["-ffunction-sections", "-fdata-sections"],
        shared,
    }
}

/// Compares a real program through its edits, each made to the same base.
fn compare_edits(program: &EditedProgram, language: &'static str) -> Figures {
    let base = program.base();
    let mut lab = Lab::new(flags_of(&base, language), base.modules.len());
    for (at, module) in base.modules.iter().enumerate() {
        lab.place(at, module);
    }
    let mut edits = EditsOf::new(program.name, &mut lab, &base.modules);
    for edit in program.edits {
        let edited = program.edited(edit);
        let file = &edited.program.modules[edited.module];
        edits.compare(edit.file, edit.name, edited.module, file);
    }
    edits.finish()
}

/// The same of Linux, or `None` after recording the test as skipped.
fn compare_edits_of_linux() -> Option<Figures> {
    let kernel = EditedKernel::get()?;
    let files = kernel.files();
    let mut lab = Lab::kernel(&kernel);
    let mut edits = EditsOf::new("Linux", &mut lab, &files);
    for (edit, (at, file)) in EDITS_OF_LINUX.iter().zip(kernel.edited()) {
        edits.compare(edit.file, edit.name, at, &file);
    }
    Some(edits.finish())
}

/// A figure for readers of the test's output.
#[expect(clippy::print_stderr, reason = "figures are what a long run is for")]
fn show(text: &str) {
    eprintln!("{text}");
}

/// Edits of one program, each made to the same base.
struct EditsOf<'a> {
    program: &'static str,
    lab: &'a mut Lab,
    base: &'a [PathBuf],
    /// Of the jobs of the base.
    whole_keys: Vec<Digest>,
    figures: Figures,
}

impl<'a> EditsOf<'a> {
    /// The lab has the modules of `base`.
    fn new(program: &'static str, lab: &'a mut Lab, base: &'a [PathBuf]) -> Self {
        assert!(lab.thin_link(), "the base links");
        Self {
            program,
            whole_keys: lab.whole_keys(),
            lab,
            base,
            figures: Figures::default(),
        }
    }

    /// Compares the jobs that the edit of the module at `at` concerns, whose bitcode is `edited`.
    fn compare(&mut self, file: &str, edit: &str, at: usize, edited: &Path) {
        self.link(at, edited);
        let keys = self.lab.whole_keys().into_iter().zip(&self.whole_keys);
        let concerned = keys.enumerate().filter(|(_, (now, then))| now != *then);
        let concerned: Vec<usize> = concerned.map(|(job, _)| job).collect();
        self.link(at, &self.base[at]);
        self.lab.compare_jobs(&concerned, None, &mut self.figures);
        self.link(at, edited);
        let counts = self.lab.compare_jobs(&concerned, None, &mut self.figures);
        let name = format!("{file}: {edit}");
        show(&format!("{}, {name}: {counts:?}", self.program));
        show(&format!(
            "{:?} {:?}",
            self.figures.without_key,
            self.lab.opaque()
        ));
        self.figures
            .edits
            .push((self.program.to_owned(), name, counts));
        self.lab.place(at, &self.base[at]);
    }

    fn link(&mut self, at: usize, module: &Path) {
        self.lab.place(at, module);
        assert!(self.lab.thin_link(), "{} links", self.program);
    }

    fn finish(mut self) -> Figures {
        let target = self.lab.target();
        let name = format!("{target}, {}, edits of sources", self.program);
        self.figures.programs.insert(name, self.figures.telling);
        self.figures
    }
}

/// Compares a real program through random edits of its modules in LLVM's textual form.
fn compare_ir_of(program: &EditedProgram, language: &'static str, edits: usize) -> Figures {
    let base = program.base();
    let flags = flags_of(&base, language);
    let mut figures = Figures::default();
    compare_ir(
        &mut Lab::new(flags, base.modules.len()),
        &disassembled(&base),
        edits,
        &mut Random::new(1),
        &mut figures,
    );
    let name = format!("{}, {}, edits of IR", flags.target, program.name);
    figures.programs.insert(name, figures.telling);
    figures
}

/// Whether real programs can be had: cargo fetches them.
fn has_sources() -> bool {
    Path::new(env!("CARGO")).exists()
}

/// A comparison of a real program; `None` if it cannot be made here.
type Comparison = Box<dyn Fn() -> Option<Figures> + Sync>;

/// Compares the real programs that no run has compared yet, as many at a time as there are
/// processors.
fn compare_real(campaign: &Mutex<Campaign>) {
    let mut all: Vec<(String, Comparison)> = Vec::new();
    for (name, language, edits) in EDITED {
        let program = || EditedProgram::named(name);
        let of_sources = move || Some(compare_edits(&program(), language));
        all.push((name.to_owned(), Box::new(of_sources)));
        if edits > 0 {
            let of_ir = move || Some(compare_ir_of(&program(), language, edits));
            all.push((format!("{name}, IR"), Box::new(of_ir)));
        }
    }
    if std::env::var_os("RELTO_TEST_LINUX").is_some() {
        all.push(("Linux".to_owned(), Box::new(compare_edits_of_linux)));
    }
    all.retain(|(name, _)| !campaign.lock().expect("whole").has_real(name));
    in_parallel(&all, |(name, comparison)| {
        if let Some(figures) = comparison() {
            campaign.lock().expect("whole").add_real(name, &figures);
        }
    });
}

/// Compares the programs in Rust that no run has compared yet.
fn compare_all_rust(rustc: &Path, campaign: &Mutex<Campaign>) {
    let has = |name: &str| campaign.lock().expect("whole").has_real(name);
    let add = |name: &str, figures: &Figures| {
        campaign.lock().expect("whole").add_real(name, figures);
    };
    for target in [Target::X86_64OfRust, Target::Aarch64] {
        if !rust::has_target(rustc, target) {
            skip(&format!("rustc has no libraries for {target}"));
            continue;
        }
        let suffix = match target {
            Target::Aarch64 => ", aarch64",
            Target::X86_64 | Target::X86_64OfRust => "",
        };
        for seed in 0..RUST {
            let name = format!("Rust {seed}{suffix}");
            if !has(&name) {
                add(&name, &compare_rust(rustc, target, seed, EDITS));
            }
        }
        for seed in 0..RUST_IR {
            let name = format!("Rust {seed}, IR{suffix}");
            if !has(&name) {
                add(&name, &compare_ir_of_rust(rustc, target, seed, EDITS));
            }
        }
    }
}

/// Compares the program of a seed through so many edits.
fn compare(seed: u64, edits: usize) -> Figures {
    let mut random = Random::new(seed);
    let language = match seed % 4 {
        0 | 1 => Language::Cxx,
        _ => Language::C,
    };
    let flags = flags(seed, language, &mut random);
    let mut figures = Figures::default();
    let lab = |flags, modules| {
        let mut lab = Lab::new(flags, modules);
        if seed % WHOLE == WHOLE - 1 {
            lab.take_whole(modules / 2);
        }
        lab
    };
    let name = if seed % REAL == REAL - 1 && has_sources() {
        let program = zstd();
        let flags = Flags {
            target: Target::X86_64,
            language: "C",
            ..flags
        };
        compare_ir(
            &mut lab(flags, program.modules.len()),
            &disassembled(&program),
            edits,
            &mut random,
            &mut figures,
        );
        format!("{}, zstd, edits of IR", flags.target)
    } else if seed % 8 < 3 {
        let program = RandomProgram::new(&mut random, language, MODULES);
        let lab = lab(flags, program.len());
        compare_source(lab, program, edits, &mut random, &mut figures);
        format!("{}, edits of sources", flags.column())
    } else {
        let program = RandomProgram::new(&mut random, language, MODULES);
        let mut lab = lab(flags, program.len());
        let texts: Vec<String> = (0..program.len())
            .map(|at| lab.intermediate(at, language.extension(), &program.text(at)))
            .collect();
        compare_ir(&mut lab, &texts, edits, &mut random, &mut figures);
        format!("{}, edits of IR", flags.column())
    };
    figures.programs.insert(name, figures.telling);
    figures
}

fn compare_source(
    mut lab: Lab,
    mut program: RandomProgram,
    edits: usize,
    random: &mut Random,
    figures: &mut Figures,
) {
    let extension = program.language().extension();
    for at in 0..program.len() {
        assert!(lab.compile(at, extension, &program.text(at)), "it compiles");
    }
    assert!(lab.thin_link(), "the first program links");
    lab.compare(None, figures);
    for _ in 0..edits {
        if random.below(8) == 0 {
            // A second checkout: every module and every shard differs.
            lab.move_sources(&format!("checkout{}", random.below(1000)));
            for at in 0..program.len() {
                assert!(lab.compile(at, extension, &program.text(at)), "as before");
            }
            assert!(lab.thin_link(), "it links as before");
            lab.compare(Some(Construct::SourceNames), figures);
            continue;
        }
        let before = program.clone();
        let (at, construct) = program.edit(random);
        if lab.compile(at, extension, &program.text(at)) && lab.thin_link() {
            lab.compare(Some(construct), figures);
        } else {
            program = before;
            assert!(lab.compile(at, extension, &program.text(at)), "as before");
        }
    }
    assert_eq!(lab.opaque(), BTreeSet::new(), "modules are understood");
}

fn flags_of_rust(target: Target, random: &mut Random) -> Flags {
    Flags {
        target,
        language: "Rust",
        level: "-O2",
        relocation: "-fPIE",
        front_end: &[],
        backend: BACKENDS[random.below(BACKENDS.len())],
        shared: false,
    }
}

/// A random program in Rust, and a lab with its modules.
fn rust_program(rustc: &Path, flags: Flags, random: &mut Random) -> (RustProgram, Lab) {
    let program = RustProgram::new(random, flags.target, MODULES);
    let mut lab = Lab::new(flags, program.len());
    for at in 0..program.len() {
        let text = program.text(at);
        assert!(lab.compile_rust(rustc, at, &text), "rustc takes\n{text}");
    }
    (program, lab)
}

/// Compares a program in Rust through so many edits of its modules in LLVM's textual form.
fn compare_ir_of_rust(rustc: &Path, target: Target, seed: u64, edits: usize) -> Figures {
    let mut random = Random::new(seed);
    let flags = flags_of_rust(target, &mut random);
    let (program, lab) = rust_program(rustc, flags, &mut random);
    let texts: Vec<String> = (0..program.len()).map(|at| lab.disassembled(at)).collect();
    let mut lab = Lab::new(flags, program.len());
    let mut figures = Figures::default();
    compare_ir(&mut lab, &texts, edits, &mut random, &mut figures);
    let name = format!("{}, edits of IR", flags.column());
    figures.programs.insert(name, figures.telling);
    figures
}

/// Compares a program in Rust through so many edits.
fn compare_rust(rustc: &Path, target: Target, seed: u64, edits: usize) -> Figures {
    let mut random = Random::new(seed);
    let flags = flags_of_rust(target, &mut random);
    let (mut program, mut lab) = rust_program(rustc, flags, &mut random);
    let mut figures = Figures::default();
    assert!(lab.thin_link(), "the first program links");
    lab.compare(None, &mut figures);
    for _ in 0..edits {
        let (at, construct) = program.edit(&mut random);
        let text = program.text(at);
        assert!(lab.compile_rust(rustc, at, &text), "rustc takes\n{text}");
        assert!(lab.thin_link(), "it links as before");
        lab.compare(Some(construct), &mut figures);
    }
    assert_eq!(lab.opaque(), BTreeSet::new(), "modules are understood");
    let name = format!("{}, edits of sources", flags.column());
    figures.programs.insert(name, figures.telling);
    figures
}

fn compare_ir(
    lab: &mut Lab,
    texts: &[String],
    edits: usize,
    random: &mut Random,
    figures: &mut Figures,
) {
    let comment = match lab.target() {
        Target::X86_64 | Target::X86_64OfRust => "#",
        Target::Aarch64 => "//",
    };
    let mut modules: Vec<IrModule> = texts
        .iter()
        .map(|text| IrModule::parse(text, comment))
        .collect();
    for (at, module) in modules.iter().enumerate() {
        assert!(lab.assemble(at, &module.text()), "module {at} is as before");
    }
    assert!(lab.thin_link(), "the first program links");
    lab.compare(None, figures);
    let mut next = 0;
    let mut done = 0;
    // Some edits make what LLVM refuses.
    for _ in 0..edits * 10 {
        if done == edits {
            break;
        }
        let at = random.below(modules.len());
        let construct = Construct::random(random);
        if construct == Construct::SourceNames && random.below(2) == 0 {
            // A second checkout: every module and every shard differs.
            IrModule::move_sources(&mut modules, random);
            for (at, module) in modules.iter().enumerate() {
                assert!(lab.assemble(at, &module.text()), "module {at} is as before");
            }
            assert!(lab.thin_link(), "it links as before");
            lab.compare(Some(construct), figures);
            done += 1;
            continue;
        }
        let before = modules[at].clone();
        let edited = ir::edit(&mut modules, at, construct, &mut next, random).is_some();
        if edited && lab.assemble(at, &modules[at].text()) && lab.thin_link() {
            lab.compare(Some(construct), figures);
            done += 1;
        } else if edited {
            modules[at] = before;
            assert!(lab.assemble(at, &modules[at].text()), "as before");
        }
    }
    for reason in lab.opaque() {
        *figures.opaque.entry(reason).or_default() += 1;
    }
}

/// The modules of a real program in LLVM's textual form.
fn disassembled(program: &Program) -> Vec<String> {
    let recipe = format!("{:?}", program.modules);
    let dir = cached("slices-text", &recipe, |dir| {
        for (at, module) in program.modules.iter().enumerate() {
            let mut tool = Llvm::get().command("llvm-dis");
            run(tool.arg(module).arg("-o").arg(dir.join(format!("{at}.ll"))));
        }
    });
    let files = (0..program.modules.len()).map(|at| dir.join(format!("{at}.ll")));
    files
        .map(|file| fs_err::read_to_string(file).expect("a text"))
        .collect()
}

#[test]
fn equal_slice_keys_mean_equal_objects() {
    if is_long() {
        return run_campaign();
    }
    let mut telling = 0;
    for seed in 0..6 {
        let figures = compare(seed, 8);
        assert!(figures.wrong.is_empty(), "seed {seed}: {figures:#?}");
        telling += figures.telling;
    }
    assert!(telling > 0, "no comparison was significant");
}

#[test]
fn equal_slice_keys_mean_equal_objects_of_rust() {
    let Some(rustc) = rust::rustc() else {
        return skip("no stable rustc makes modules of this release of LLVM");
    };
    let figures = compare_rust(&rustc, Target::X86_64OfRust, 0, 12);
    assert!(figures.wrong.is_empty(), "{figures:#?}");
    assert!(figures.telling > 0, "{figures:#?}");
}

/// Jobs that compile an edit's module again, whatever it changes, are among those that run.
#[test]
fn no_more_jobs_of_linux_run_after_an_edit_than_objects_change() {
    if !runs_long() {
        return;
    }
    let Some(figures) = compare_edits_of_linux() else {
        return;
    };
    assert!(figures.wrong.is_empty(), "{figures:#?}");
    let counts = figures.edits.iter().map(|(_, _, counts)| counts);
    let (run, changed) = counts.fold((0, 0), |(run, changed), counts| {
        (run + counts.by_slice_key, changed + counts.changed)
    });
    assert!(run <= changed, "{figures:#?}");
}

/// Compares programs that no run has compared yet, until there are enough.
fn run_campaign() {
    let pairs = number("RELTO_SLICES_PAIRS").unwrap_or(PAIRS);
    let of_each = OF_EACH.min(pairs * OF_EACH / PAIRS);
    let threads = number("RELTO_SLICES_THREADS").unwrap_or(2);
    let campaign = Mutex::new(Campaign::load());
    if let Some(rustc) = rust::rustc() {
        compare_all_rust(&rustc, &campaign);
    }
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let known = campaign.lock().expect("whole");
                    if known.is_enough(pairs, of_each) {
                        return;
                    }
                    let has = known.has(seed);
                    drop(known);
                    if !has {
                        let figures = compare(seed, EDITS);
                        campaign.lock().expect("whole").add(seed, &figures);
                    }
                }
            });
        }
    });
    if has_sources() {
        compare_real(&campaign);
    }
    let campaign = campaign.into_inner().expect("whole");
    assert!(
        campaign.figures.wrong.is_empty(),
        "{:#?}",
        campaign.figures.wrong
    );
}
