//! The recipes of `docs/builds.md`, as they stand there, with real build systems on real programs
//! of Debian's archive and of Cargo's registry: lz4 (make), BLAKE3 and zstd (`CMake`), `FriBidi` (Meson,
//! autotools with libtool), bzip2 (ninja) and b3sum (Cargo).

mod caches;
mod cargo;
mod cmake;

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;

use crate::support::debian::{packaged, upstream};
use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::outcome::Counts;
use crate::support::skip::skip;

const PAGE: &str = include_str!("../../../docs/builds.md");

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

/// The jobs of each link that a build reports.
fn links(output: &Output) -> Vec<Counts> {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let ours = text.lines().filter(|line| line.starts_with("relto: "));
    ours.filter_map(Counts::parse).collect()
}

/// Builds with `script`. relto must have taken part in `expected` links of `jobs` jobs in all, and
/// the program must run.
fn builds(dir: &Path, script: &str, program: &str, expected: usize, jobs: usize) {
    builds_in(&Home::new(), dir, script, expected, jobs);
    run(&mut Command::new(dir.join(program)));
}

/// As [`builds`], for a program that needs help to run; returns how many jobs were cached.
fn builds_in(home: &Home, dir: &Path, script: &str, expected: usize, jobs: usize) -> usize {
    let output = shell(dir, home, script);
    let links = links(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(links.len(), expected, "{text}");
    let sum = links.iter().map(|it| it.jobs).sum::<usize>();
    assert_eq!(sum, jobs, "{text}");
    links.iter().map(|it| it.cached).sum()
}

/// What `make` needs: a program and a library.
const MAKEFILE: &str = "app: main.o libpart.a\n\t$(CC) $(LDFLAGS) $^ -o $@\n\
    libpart.a: part.o\n\t$(AR) rcs $@ $^\n\
    clean:\n\trm -f app *.o *.a\n\
    install: app\n\tinstall -D app $(DESTDIR)/usr/bin/app\n";

/// A directory with the program and its `Makefile`.
fn make_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    sources(dir.path(), &[("Makefile", MAKEFILE)]);
    dir
}

/// A copy of what upstream has published, to build in.
fn checkout(package: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    copy_tree(&upstream(package), dir.path());
    dir
}

/// Modules of the program lz4.
const LZ4_JOBS: usize = 9;

/// A recipe for make, with lz4's own directory and target.
fn for_lz4(recipe: &str) -> String {
    let recipe = recipe.replace("make CC", "make -C programs lz4 CC");
    recipe.replace("make clean", "make -C programs clean")
}

/// lz4 as `recipe` builds it, in one link.
fn lz4(recipe: &str) -> tempfile::TempDir {
    let dir = checkout("lz4");
    builds_in(&Home::new(), dir.path(), &for_lz4(recipe), 1, LZ4_JOBS);
    lz4_works(dir.path(), "");
    dir
}

/// The program, started by `emulator`, gives back what it has compressed.
fn lz4_works(dir: &Path, emulator: &str) {
    let script =
        format!("{emulator} programs/lz4 -c NEWS | {emulator} programs/lz4 -dc | cmp - NEWS");
    shell(dir, &Home::new(), &script);
}

#[test]
fn make_links_with_the_line_of_the_page() {
    if has(&["make", "clang-22", "llvm-ar-22"]) {
        lz4(&blocks("make")[0]);
    }
}

/// Copies a directory with all that is below it.
fn copy_tree(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from.join(".")).arg(to));
}

#[test]
fn meson_links_with_the_native_file_of_the_page() {
    if !has(&["meson", "ninja", "clang++-22"]) {
        return;
    }
    let [file, commands] = &blocks("Meson")[..] else {
        panic!("the page has a file and the commands");
    };
    let dir = checkout("fribidi");
    fs::write(dir.path().join("clang.ini"), file).expect("written");
    let commands = commands.replace("meson setup", "meson setup -Ddocs=false");
    // A shared library, programs, and programs that make tables for the library.
    builds_in(&Home::new(), dir.path(), &commands, 14, 41);
    fribidi_works(dir.path(), "build/bin/fribidi");
}

/// The program, linked with its shared library, turns Hebrew around.
fn fribidi_works(dir: &Path, program: &str) {
    let script = format!("printf 'abc שלום' | {program} --nopad");
    let shown = shell(dir, &Home::new(), &script);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), "abc םולש");
}

#[test]
fn ninja_links_with_the_file_of_the_page() {
    if !has(&["ninja", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let file = &blocks("ninja")[0];
    let (rules, _) = file.split_once("\nbuild ").expect("builds after the rules");
    let library = "blocksort huffman crctable randtable compress decompress bzlib";
    let object = |name: &str| format!("{name}.o");
    let compiles = library.split(' ').chain(["bzip2"]);
    let compiles = compiles.map(|name| format!("build {name}.o: compile {name}.c\n"));
    let objects: Vec<_> = library.split(' ').map(object).collect();
    let file = format!(
        "{rules}\n{}build libbz2.a: archive {}\nbuild bzip2: link bzip2.o libbz2.a\n",
        compiles.collect::<String>(),
        objects.join(" ")
    );
    let dir = checkout("bzip2");
    fs::write(dir.path().join("build.ninja"), file).expect("written");
    builds_in(&Home::new(), dir.path(), "ninja", 1, 8);
    let back = "./bzip2 -c README | ./bzip2 -dc | cmp - README";
    shell(dir.path(), &Home::new(), back);
}

#[test]
fn libtool_keeps_the_distributor_in_the_compilers_name() {
    if !has(&["make", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let dir = checkout("fribidi");
    let (configure, make) = blocks("autotools")[0]
        .split_once('\n')
        .map(|(configure, make)| (configure.to_owned(), make.to_owned()))
        .expect("two lines");
    // configure's trial links are links of relto's, too.
    let home = Home::new();
    shell(dir.path(), &home, &configure);
    builds_in(&home, dir.path(), &make, 5, 26);
    fribidi_works(dir.path(), "bin/fribidi");
}

#[test]
fn dpkg_buildpackage_links_with_the_lines_of_the_page() {
    if !has(&["dpkg-buildpackage", "dh", "clang-22"]) {
        return;
    }
    let top = tempfile::tempdir().expect("a directory");
    let dir = top.path().join("lz4");
    fs::create_dir(&dir).expect("made");
    copy_tree(&packaged("lz4"), &dir);
    let home = Home::new();
    let cache = top.path().join("cache").display().to_string();
    let script = blocks("dpkg-buildpackage")[0]
        .replace("/var/tmp/relto-$(id -un)", &cache)
        .replace("parallel=$(nproc)", "\"parallel=$(nproc) nocheck\"");
    // The shared library and the program.
    assert_eq!(builds_in(&home, &dir, &script, 2, 5 + LZ4_JOBS), 0);
    let files = fs::read_dir(top.path()).expect("a directory");
    let mut names = files.map(|file| file.expect("an entry").file_name().into_string());
    let is_package = |name: &str| name.starts_with("lz4_") && name.ends_with("64.deb");
    assert!(names.any(|name| is_package(&name.expect("UTF-8"))));
    let cached = builds_in(&home, &dir, &script, 2, 5 + LZ4_JOBS);
    assert_eq!(cached, 5 + LZ4_JOBS);
}

#[test]
fn sanitizers_work_with_the_lines_of_the_page() {
    let runtime = Path::new("/usr/lib/llvm-22/lib/clang/22/lib/linux");
    if !has(&["make", "clang-22", "llvm-ar-22"]) {
        return;
    }
    if !runtime.exists() {
        skip("`libclang-rt-22-dev` is not installed");
        return;
    }
    let dir = make_dir();
    let main = "#include <stdlib.h>\nint part(int);\nint main(int argc, char **argv) {\n\
        volatile char *p = calloc(1, 8);\nchar found = p[argc > 1 ? 8 : 7];\nfree((char *)p);\nreturn found + part(argc) - 3; }\n";
    sources(dir.path(), &[("main.c", main)]);
    let [sanitized, cfi] = &blocks("Sanitizers")[..] else {
        panic!("the page has two recipes");
    };
    builds(dir.path(), sanitized, "app", 1, 2);
    let mut wrong = Command::new(dir.path().join("app"));
    let found = wrong.arg("wrong").output().expect("started");
    let found = String::from_utf8_lossy(&found.stderr);
    assert!(found.contains("AddressSanitizer"), "{found}");
    lz4(sanitized);
    lz4(cfi.strip_prefix("make clean\n").expect("two lines"));
}

#[test]
fn profiles_work_with_the_lines_of_the_page() {
    if !has(&["make", "clang-22", "llvm-profdata-22"]) {
        return;
    }
    if !Path::new("/usr/lib/llvm-22/lib/clang/22/lib/linux").exists() {
        skip("`libclang-rt-22-dev` is not installed");
        return;
    }
    let dir = checkout("lz4");
    let recipe = for_lz4(&blocks("Profiles (PGO)")[0]);
    let recipe = recipe.replace("./app", "programs/lz4 -9 -c NEWS >NEWS.lz4");
    builds_in(&Home::new(), dir.path(), &recipe, 2, 2 * LZ4_JOBS);
    lz4_works(dir.path(), "");
}

#[test]
fn programs_of_another_machine_link_with_the_line_of_the_page() {
    if !has(&["make", "clang-22", "llvm-ar-22", "qemu-aarch64-static"]) {
        return;
    }
    if !Path::new("/usr/aarch64-linux-gnu/lib/libc.so.6").exists() {
        skip("`libc6-dev-arm64-cross` is not installed");
        return;
    }
    let dir = checkout("lz4");
    let script = for_lz4(&blocks("Another machine's programs")[0]);
    builds_in(&Home::new(), dir.path(), &script, 1, LZ4_JOBS);
    lz4_works(dir.path(), "qemu-aarch64-static -L /usr/aarch64-linux-gnu");
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
    let message = "unrecognized argument to '-flto=' option: 'thin'";
    assert!(PAGE.contains(message));
    let printed = failing("LC_ALL=C gcc -O2 -flto=thin -c main.c");
    assert!(printed.contains(message), "{printed}");
    let message = "unrecognized option '--thinlto-distributor=";
    assert!(PAGE.contains(message));
    let printed = failing(
        "clang-22 -O2 -flto=thin -fuse-ld=bfd -fthinlto-distributor=/x main.c part.c -o app",
    );
    assert!(printed.contains(message), "{printed}");
}
