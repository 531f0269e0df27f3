//! The recipes of `docs/builds.md`, as they stand there, with real build systems on a small
//! program.

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;

use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::skip::skip;

const PAGE: &str = include_str!("../../docs/builds.md");

/// The indented blocks below the heading `### NAME`, with this relto for the installed one.
fn blocks(name: &str) -> Vec<String> {
    let heading = format!("### {name}\n");
    let (_, rest) = PAGE.split_once(&heading).expect("the page has the heading");
    let section = rest.split("\n#").next().expect("a section");
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        let block = blocks.last_mut().expect("never empty");
        match line.strip_prefix("    ") {
            Some(code) => {
                block.push_str(code);
                block.push('\n');
            }
            // Blank lines may stand inside a block.
            None if line.is_empty() => block.push('\n'),
            None if block.trim().is_empty() => block.clear(),
            None => blocks.push(String::new()),
        }
    }
    let relto = env!("CARGO_BIN_EXE_relto");
    blocks.retain(|block| !block.trim().is_empty());
    assert!(!blocks.is_empty(), "no recipe for {name}");
    let ours = |block: String| block.trim().replace("/usr/local/bin/relto", relto);
    blocks.into_iter().map(ours).collect()
}

/// Whether all programs are there; otherwise the test is skipped.
#[track_caller]
fn has(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        !found.expect("sh starts").status.success()
    });
    if let Some(missing) = missing {
        skip(&format!("`{missing}` is not installed"));
    }
    missing.is_none()
}

/// A program of two modules, one of them in a library.
fn sources(dir: &Path, files: &[(&str, &str)]) {
    let parts = [
        ("part.c", "int part(int x) { return x * 3; }\n"),
        (
            "main.c",
            "int part(int); int main(int argc, char **argv) { return part(argc) - 3; }\n",
        ),
    ];
    for (name, text) in parts.iter().chain(files) {
        fs::write(dir.join(name), text).expect("written");
    }
}

fn shell(dir: &Path, home: &Home, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(dir);
    home.apply(&mut command);
    let output = command.output().expect("sh starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script}\n{text}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// Builds with `script`. relto must have taken part in `links` links of `jobs` jobs in all, and the
/// program must run.
fn builds(dir: &Path, script: &str, program: &str, links: usize, jobs: usize) {
    let home = Home::new();
    let output = shell(dir, &home, script);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let counts: Vec<usize> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("relto: ")?
                .split(" job")
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(counts.len(), links, "{text}");
    assert_eq!(counts.iter().sum::<usize>(), jobs, "{text}");
    run(&mut Command::new(dir.join(program)));
}

#[test]
fn make_links_with_the_line_of_the_page() {
    if !has(&["make", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let rules = "app: main.o libpart.a\n\t$(CC) $(LDFLAGS) $^ -o $@\nlibpart.a: part.o\n\t$(AR) rcs $@ $^\n";
    sources(dir.path(), &[("Makefile", rules)]);
    builds(dir.path(), &blocks("make")[0], "app", 1, 2);
}

#[test]
fn cmake_links_with_the_lines_of_the_page() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let lists = "cmake_minimum_required(VERSION 3.20)\nproject(app C CXX)\nadd_library(part SHARED part.c)\n\
        add_executable(app main.c)\ntarget_link_libraries(app part)\n";
    sources(dir.path(), &[("CMakeLists.txt", lists)]);
    builds(dir.path(), &blocks("CMake")[0], "build/app", 2, 2);
}

#[test]
fn meson_links_with_the_native_file_of_the_page() {
    if !has(&["meson", "ninja", "clang++-22"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let build = "project('app', 'c', 'cpp')\npart = shared_library('part', 'part.c')\nexecutable('app', 'main.c', link_with: part)\n";
    let [file, commands] = &blocks("Meson")[..] else {
        panic!("the page has a file and the commands");
    };
    sources(dir.path(), &[("meson.build", build), ("clang.ini", file)]);
    builds(dir.path(), commands, "build/app", 2, 2);
}

#[test]
fn libtool_keeps_the_distributor_in_the_compilers_name() {
    if !has(&["autoreconf", "automake", "libtoolize", "clang-22"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let configure = "AC_INIT([app],[1])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\nAM_PROG_AR\nLT_INIT\n\
        AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n";
    let makefile = "lib_LTLIBRARIES = libpart.la\nlibpart_la_SOURCES = part.c\nbin_PROGRAMS = app\n\
        app_SOURCES = main.c\napp_LDADD = libpart.la\n";
    sources(
        dir.path(),
        &[("configure.ac", configure), ("Makefile.am", makefile)],
    );
    let (configure, make) = blocks("autotools")[0]
        .split_once('\n')
        .map(|(configure, make)| (configure.to_owned(), make.to_owned()))
        .expect("two lines");
    // configure's trial links are links of relto's, too.
    let home = Home::new();
    shell(dir.path(), &home, &format!("autoreconf -i\n{configure}"));
    builds(dir.path(), &make, "app", 2, 2);
}

#[test]
fn each_message_of_the_page_is_the_one_that_the_tools_print() {
    if !has(&["clang-22", "ld.lld-22"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    sources(dir.path(), &[]);
    let failing = |line: &str| {
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(dir.path())
            .output();
        String::from_utf8_lossy(&output.expect("sh starts").stderr).into_owned()
    };
    let message = "posix_spawn failed: No such file or directory";
    assert!(PAGE.contains(message));
    for distributor in ["relto", "/nowhere/relto"] {
        let line = format!(
            "clang-22 -O2 -flto=thin -fuse-ld=lld -fthinlto-distributor={distributor} main.c part.c -o app"
        );
        let printed = failing(&line);
        assert!(printed.contains(message), "{printed}");
    }
    let message = "unrecognized option '--thinlto-distributor=";
    assert!(PAGE.contains(message));
    let printed = failing(
        "clang-22 -O2 -flto=thin -fuse-ld=bfd -fthinlto-distributor=/x main.c part.c -o app",
    );
    assert!(printed.contains(message), "{printed}");
}
