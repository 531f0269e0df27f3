//! `relto ld`: a link in three steps, compared with the linker's own LTO and with the same steps by
//! hand; and what it costs a link that relto has nothing to do with.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto_testing::link::{Home, Link};
use relto_testing::llvm::{Llvm, run as run_tool};
use relto_testing::measure::{Comparison, HEAD, run, show};
use relto_testing::program::{Program, cxx};
use tempfile::TempDir;

use super::Settings;

/// relto under a linker's name, beside nothing else.
struct Wrapper(TempDir);

impl Wrapper {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let relto = env!("CARGO_BIN_EXE_relto");
        fs::os::unix::fs::symlink(relto, dir.path().join("relto-ld.lld")).expect("linked");
        Self(dir)
    }

    fn link<'a>(&self, program: &'a Program) -> Link<'a> {
        let linker = self.0.path().join("relto-ld.lld");
        Link::in_process(program).argument(&format!("--ld-path={}", linker.display()))
    }
}

pub(super) fn wrapped(settings: &Settings) {
    let program = cxx();
    let wrapper = Wrapper::new();
    let home = Home::new();
    let counts = wrapper.link(&program).run_at(&home).expect_works().counts();
    let modules = counts.jobs;
    cold(settings, &program, &wrapper, &home, modules);
    relink(settings, &program, &wrapper, &home);
    edit(settings, &program, &wrapper);
    for inputs in [1, 1000, 10_000] {
        at_once(settings, inputs);
    }
}

/// The compiler's digests are known at `home`.
fn cold(settings: &Settings, program: &Program, wrapper: &Wrapper, home: &Home, modules: usize) {
    let ours = || {
        let cache = TempDir::new().expect("a temporary directory");
        let cache = cache.path().display().to_string();
        let link = wrapper.link(program).env("RELTO_DISK_CACHE", &cache);
        run(&link.command(home), 1)
    };
    let threads = format!("-Wl,--thinlto-jobs={}", settings.processes);
    let in_process = || {
        let link = Link::in_process(program).argument(&threads);
        run(&link.command(home), 1)
    };
    let both = Comparison::of(settings.runs, ours, in_process);
    show(&format!(
        "{modules} modules, nothing cached: relto ld, lld itself with {} threads\n{HEAD}",
        settings.processes
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
    let by_hand = || {
        let link = Link::in_process(program);
        run(&steps_by_hand(&link, program, settings.processes), 1)
    };
    let both = Comparison::of(settings.runs, ours, by_hand);
    show(&format!(
        "the same: relto ld, thin link and `xargs -P{}` and final link\n{HEAD}",
        settings.processes
    ));
    show(&both.line("wall, s", |sample| sample.wall));
}

/// What builds do that distribute backends themselves; nothing is checked. Large modules first.
fn steps_by_hand(link: &Link, program: &Program, processes: usize) -> Command {
    const STEPS: &str = "set -e; driver=$1 clang=$2 processes=$3; shift 3\n\
        \"$driver\" -flto=thin -O2 -fuse-ld=lld -Wl,--thinlto-index-only -o app \"$@\"\n\
        ls -S \"$@\" | xargs -P\"$processes\" -I{} \"$clang\" -c -O2 -faddrsig -ffunction-sections -fdata-sections -fpic {} -fthinlto-index={}.thinlto.bc -o {}.native.o\n\
        for module do set -- \"$@\" \"$module.native.o\"; shift; done\n\
        \"$driver\" -O2 -fuse-ld=lld -o app \"$@\"\n";
    let names = program.modules.iter().map(|path| path.file_name());
    let mut command = Command::new("sh");
    command.current_dir(link.dir()).args(["-c", STEPS, "sh"]);
    command
        .arg(Llvm::get().tool(program.driver))
        .arg(Llvm::get().tool("clang"))
        .arg(processes.to_string())
        .args(names.map(|name| name.expect("a file")));
    command
}

fn relink(settings: &Settings, program: &Program, wrapper: &Wrapper, home: &Home) {
    let counts = wrapper.link(program).run_at(home).expect_works().counts();
    assert_eq!(
        counts.cached, counts.jobs,
        "the second link finds everything"
    );
    let cache = TempDir::new().expect("a temporary directory");
    let cached = format!("-Wl,--thinlto-cache-dir={}", cache.path().display());
    let in_process = || Link::in_process(program).argument(&cached);
    in_process().run_at(home).expect_works();
    let ours = || run(&wrapper.link(program).command(home), 1);
    let theirs = || run(&in_process().command(home), 1);
    let both = Comparison::of(settings.runs, ours, theirs);
    show(&format!(
        "the same, all cached: relto ld, lld with --thinlto-cache-dir\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
    show(&both.line("processor, s", |sample| sample.cpu));
}

/// One more module, which is another one each time.
fn edit(settings: &Settings, program: &Program, wrapper: &Wrapper) {
    let (home, cache) = (Home::new(), TempDir::new().expect("a temporary directory"));
    let cached = format!("-Wl,--thinlto-cache-dir={}", cache.path().display());
    let dir = TempDir::new().expect("a temporary directory");
    let version = Cell::new(0);
    let edited = || {
        version.set(version.get() + 1);
        let mut program = program.clone();
        program
            .modules
            .push(edited_module(dir.path(), version.get()));
        program
    };
    let first = edited();
    wrapper.link(&first).run_at(&home).expect_works();
    let theirs = Link::in_process(&first).argument(&cached);
    theirs.run_at(&home).expect_works();
    let counts = wrapper
        .link(&edited())
        .run_at(&home)
        .expect_works()
        .counts();
    assert_eq!(counts.local, 1, "one module is another one");
    let ours = || run(&wrapper.link(&edited()).command(&home), 1);
    let theirs = || {
        let program = edited();
        run(
            &Link::in_process(&program).argument(&cached).command(&home),
            1,
        )
    };
    let both = Comparison::of(settings.runs, ours, theirs);
    show(&format!(
        "the same, after one edit: relto ld, lld with --thinlto-cache-dir\n{HEAD}"
    ));
    show(&both.line("wall, s", |sample| sample.wall));
}

fn edited_module(dir: &Path, version: usize) -> PathBuf {
    let (source, object) = (dir.join("edited.c"), dir.join("edited.o"));
    let text = format!(
        "volatile int edited; __attribute__((constructor)) static void edit(void) {{ edited = {version}; }}\n"
    );
    fs::write(&source, text).expect("written");
    let mut clang = Llvm::get().command("clang");
    clang.args(["-O2", "-flto=thin", "-c"]).arg(&source);
    run_tool(clang.arg("-o").arg(&object));
    object
}

/// A linker that does nothing, with objects that are none of relto's business.
fn at_once(settings: &Settings, inputs: usize) {
    const IN_A_ROW: usize = 20;
    let dir = TempDir::new().expect("a temporary directory");
    let linker = dir.path().join("ld.lld");
    fs::os::unix::fs::symlink("/bin/true", &linker).expect("linked");
    let (source, object) = (dir.path().join("x.c"), dir.path().join("x.o"));
    fs::write(&source, "int x;\n").expect("written");
    let mut clang = Llvm::get().command("clang");
    run_tool(clang.arg("-c").arg(&source).arg("-o").arg(&object));
    let mut list = String::new();
    for number in 0..inputs {
        let name = format!("{number}.o");
        fs::copy(&object, dir.path().join(&name)).expect("copied");
        list.push_str(&name);
        list.push('\n');
    }
    fs::write(dir.path().join("list"), list).expect("written");
    let home = Home::new();
    let mut plain = Command::new(&linker);
    plain.current_dir(dir.path()).args(["@list", "-o", "app"]);
    let mut wrapped = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut wrapped);
    wrapped.current_dir(dir.path()).args(["ld", "--"]);
    wrapped.arg(&linker).args(["@list", "-o", "app"]);
    let both = Comparison::of(
        settings.runs,
        || run(&wrapped, IN_A_ROW),
        || run(&plain, IN_A_ROW),
    );
    show(&format!(
        "a linker that does nothing, {inputs} objects: behind relto, alone\n{HEAD}"
    ));
    show(&both.line("wall, ms", |sample| sample.wall * 1000.0));
}
