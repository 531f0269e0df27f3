//! Builds around the daemon: what they pass to every process must not reach the daemon, and what
//! belongs to one process must reach its job.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use fs_err as fs;

use super::plain;
use crate::support::backends::{Backends, WORDS, add};
use crate::support::daemon::{Daemon, stderr, succeeded};
use crate::support::executable;
use crate::support::fake::fake_clang;
use crate::support::memory;
use crate::support::outcome::Counts;
use crate::support::program::generated;
use crate::support::repeat::through;
use crate::support::saved::results;
use crate::support::skip::runs_long;

/// `make | tee` ends when no process can write into the pipe any more; a token of make's comes back
/// when no process holds it.
#[test]
fn the_daemon_holds_no_pipe_of_its_starters_build() {
    let daemon = Daemon::new();
    let backends = plain();
    let relto = daemon.relto(&backends);
    let words = backends.arguments("main.o", "native.o").join(" ");
    let makefile = format!(
        "all:\n\t+{} cc {} {words}\n",
        env!("CARGO_BIN_EXE_relto"),
        backends.compiler().display()
    );
    fs::write(backends.path("Makefile"), makefile).expect("written");
    // A pipe beside those of make, by a number that a shell gives.
    let script = "exec 7>&1; make -j3 all 2>&1 | cat";
    let mut shell = through(&["bash", "-c", script, "bash"], &relto);
    shell.env_remove("MAKEFLAGS");
    succeeded(&mut shell);
    let process = daemon.process().expect("it lives on");
    let held: Vec<_> = fs::read_dir(format!("/proc/{process}/fd"))
        .expect("its descriptors")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|target| target.as_os_str().as_encoded_bytes().starts_with(b"pipe:"))
        .collect();
    assert!(held.is_empty(), "{held:?}");
    assert_eq!(daemon.jobs(), 1);
    let variables = fs::read(format!("/proc/{process}/environ")).expect("its variables");
    assert!(!String::from_utf8_lossy(&variables).contains("MAKEFLAGS="));
}

#[test]
fn names_and_modes_are_those_of_each_caller() {
    let daemon = Daemon::new();
    let (first, second) = (plain(), plain());
    for (backends, umask, mode) in [
        (&first, "077", 0o600),
        (&second, "002", 0o664),
        (&first, "027", 0o640),
    ] {
        let before = daemon.jobs();
        for ending in ["native.o", "again.o"] {
            let mut relto = daemon.relto(backends);
            relto.args(backends.arguments("main.o", ending));
            let script = format!("umask {umask}; exec \"$@\"");
            succeeded(&mut through(&["sh", "-c", &script, "sh"], &relto));
            let object = backends.path(&format!("main.o.{ending}"));
            let found = fs::metadata(&object).expect("an object");
            assert_eq!(found.permissions().mode() & 0o777, mode, "umask {umask}");
        }
        assert_eq!(daemon.jobs(), before + 2);
    }
    first.assert_identical_objects_of(usize::MAX);
    second.assert_identical_objects_of(usize::MAX);
}

/// A compiler inherits both from its parent, and the daemon cannot give it another's.
#[test]
fn a_caller_with_another_priority_or_other_limits_does_the_work_itself() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    for (script, difference) in [
        ("ulimit -t 9999; exec \"$@\"", "other resource limits"),
        ("exec nice -n 1 \"$@\"", "another niceness"),
        ("exec chrt --batch 0 \"$@\"", "another scheduling policy"),
        ("exec choom -n 900 -- \"$@\"", "out-of-memory killer"),
    ] {
        let before = daemon.jobs();
        let mut relto = daemon.relto(&backends);
        relto.args(backends.arguments("main.o", "native.o"));
        relto.env("RELTO_LOG", "debug");
        let output = succeeded(&mut through(&["sh", "-c", script, "sh"], &relto));
        let said = stderr(&output);
        assert!(said.contains(difference), "{said}");
        assert_eq!(daemon.jobs(), before, "{script}");
    }
    backends.assert_identical_objects_of(usize::MAX);
}

/// A compile in place sees directory, variables and umask as if it had been started by the caller.
#[test]
fn a_compile_in_place_is_the_callers_own() {
    let compiler = fake_clang(
        "extern char *getenv(const char *); char directory[4096]; object(ET_REL); put(\"beside\", \"x\", 1);\n\
         fprintf(stderr, \"in %s with %s\\n\", getcwd(directory, sizeof directory), getenv(\"COLOUR\"));\n\
         return 0;",
    );
    let daemon = Daemon::new();
    for (colour, umask, mode) in [("red", "022", 0o644), ("blue", "077", 0o600)] {
        let backends = plain();
        let mut relto = daemon.relto_with(&backends, &compiler);
        relto.env("COLOUR", colour).args(WORDS);
        // Writes beside its object, which no action says.
        let script = format!("umask {umask}; exec \"$@\"");
        let output = succeeded(&mut through(&["sh", "-c", &script, "sh"], &relto));
        let said = stderr(&output);
        let dir = fs::canonicalize(backends.dir()).expect("a directory");
        let wanted = format!("in {} with {colour}\n", dir.display());
        assert!(said.contains(&wanted), "{said}");
        for name in ["o.o", "beside"] {
            let found = fs::metadata(backends.path(name)).expect("a file");
            assert_eq!(found.permissions().mode() & 0o777, mode);
        }
    }
    assert_eq!(daemon.jobs(), 2);
}

/// Each set of variables, twice: only a process that sets the same variables finds a result.
#[test]
fn settings_of_two_callers_do_not_mix() {
    let daemon = Daemon::new();
    let backends = plain();
    let elsewhere = backends.path_of("elsewhere");
    let sets: [&[(&str, &str)]; 4] = [
        &[("RELTO_CACHE_SALT", "one")],
        &[("RELTO_CACHE_SALT", "two")],
        &[("RELTO_DISK_CACHE", &elsewhere)],
        &[("CCC_OVERRIDE_OPTIONS", "+-fpic")],
    ];
    for set in sets {
        let mut counts = Counts::default();
        for _ in 0..2 {
            let mut relto = daemon.relto(&backends);
            relto.envs(set.iter().copied());
            let output = succeeded(relto.args(backends.arguments("main.o", "native.o")));
            add(&mut counts, &stderr(&output));
        }
        assert_eq!((counts.local, counts.cached), (1, 1), "{set:?}");
    }
    assert_eq!(results(&daemon.home), 3);
    assert_eq!(daemon.jobs(), 8);
}

/// A path in a variable may lead to another compiler tomorrow.
#[test]
fn the_compiler_is_the_one_that_the_callers_path_names_now() {
    let daemon = Daemon::new();
    let backends = plain();
    let dir = backends.path("bin");
    fs::create_dir(&dir).expect("made");
    for text in ["first", "second"] {
        let compiler = fake_clang(&format!(
            "object(ET_REL); fputs(\"the {text} one\\n\", stderr); return 0;"
        ));
        executable::copy(compiler, dir.join("clang.new"));
        fs::rename(dir.join("clang.new"), dir.join("clang")).expect("renamed");
        let mut relto = daemon.relto_with(&backends, std::path::Path::new("clang"));
        relto.env("PATH", &dir);
        let output = succeeded(relto.args(WORDS));
        assert!(
            stderr(&output).contains(&format!("the {text} one")),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(daemon.jobs(), 2);
}

/// What the daemon remembers must not grow with what it does.
#[test]
fn ten_thousand_jobs_leave_the_daemon_as_large_as_a_thousand() {
    if !runs_long() {
        return;
    }
    let daemon = Daemon::new();
    let backends = Backends::new(&generated(20));
    let memory = || {
        let process = daemon.process().expect("a daemon");
        memory::now(process).expect("its status") >> 10
    };
    let run = |rounds: usize| {
        for _ in 0..rounds {
            for module in &backends.modules {
                let mut relto: Command = daemon.relto(&backends);
                succeeded(relto.args(backends.arguments(module, "native.o")));
            }
        }
    };
    run(1000 / backends.modules.len());
    let before = memory();
    run(9000 / backends.modules.len());
    let after = memory();
    assert!(after < before + before / 2, "{before} kB, then {after} kB");
}
