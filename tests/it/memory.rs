//! A machine with little memory: compilers wait for it, instead of being killed.

use std::process::Command;
use std::thread;

use crate::support::backends::Backends;
use crate::support::cgroup::Cgroup;
use crate::support::daemon::succeeded;
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::program::generated;
use crate::support::saved::Saved;

const MIB: u64 = 1 << 20;
/// Of the cgroup.
const MACHINE: u64 = 512 * MIB;
/// What each compiler takes, bit by bit: three fit.
const COMPILER: u64 = 140 * MIB;
const MODULES: usize = 11;

/// A compiler that needs memory, and keeps it for a while.
fn behaviour() -> String {
    format!(
        "volatile char *memory = __builtin_malloc({COMPILER}u); \
         for (unsigned i = 0; i < {COMPILER}u; i += 4096) memory[i] = 1; \
         usleep(300000); object(ET_REL); return 0;"
    )
}

/// A link whose compilers need that much, which relto has learned.
fn learned() -> Saved {
    let mut saved = Saved::new(&generated(MODULES));
    saved.compile_with(&fake_clang(&behaviour()));
    succeeded(&mut command(&saved, "1"));
    saved
}

fn command(saved: &Saved, local_jobs: &str) -> Command {
    let mut command = saved.command();
    command.env("RELTO_DISK_CACHE", "off");
    command.env("RELTO_LOCAL_JOBS", local_jobs);
    command
}

/// No compiler was killed, and yet more than one ran at a time.
fn assert_used_well(cgroup: &Cgroup) {
    assert_eq!(cgroup.killed(), 0, "compilers were killed");
    if let Some(peak) = cgroup.peak() {
        assert!(peak > 2 * COMPILER, "{} MiB at most", peak / MIB);
    }
}

#[test]
fn a_link_starts_only_compilers_that_fit_into_its_cgroup() {
    let Some(cgroup) = Cgroup::new("link", MACHINE) else {
        return;
    };
    let saved = learned();
    let link = command(&saved, "8");
    succeeded(&mut cgroup.command(&link));
    assert_used_well(&cgroup);
}

/// What the other tests are worth.
#[test]
fn without_a_look_at_the_memory_compilers_are_killed() {
    let Some(cgroup) = Cgroup::new("off", MACHINE) else {
        return;
    };
    let saved = learned();
    let mut link = command(&saved, "8");
    link.env("RELTO_LOCAL_RAM_RESOURCES", "off");
    let _ = cgroup.command(&link).output().expect("relto starts");
    assert_ne!(cgroup.killed(), 0, "eight at once fit?");
}

#[test]
fn processes_of_one_build_do_not_count_on_the_same_bytes() {
    let Some(cgroup) = Cgroup::new("cc", MACHINE) else {
        return;
    };
    let (home, backends) = (Home::new(), Backends::new(&generated(MODULES)));
    let compiler = fake_clang(&behaviour());
    let backend = |module: &String| {
        let mut relto = backends.relto_with(&home, &compiler);
        relto.env("RELTO_DISK_CACHE", "off");
        relto.args(backends.arguments(module, "native.o"));
        relto
    };
    for module in &backends.modules {
        succeeded(&mut backend(module));
    }
    thread::scope(|scope| {
        for module in &backends.modules {
            let mut relto = cgroup.command(&backend(module));
            scope.spawn(move || succeeded(&mut relto));
        }
    });
    assert_used_well(&cgroup);
}
