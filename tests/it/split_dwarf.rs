//! Links with split DWARF: each job's debug information is a `.dwo` file with the same name in
//! every link.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi::ActionResult;
use tempfile::TempDir;

use crate::support::farm::{Farm, Profile};
use crate::support::link::Link;
use crate::support::llvm::{Llvm, run};
use crate::support::outcome::{Counts, LinkOutcome};
use crate::support::program::{Feature, Program, feature, of_texts};
use crate::support::remote::{assert_all_cached, assert_all_remote, here, strict};

const DIR: &str = "--dwo-dir=dwo";

/// A disk cache of its own: the digests of the toolchain are those of all tests.
struct Cache(TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn link<'a>(&self, program: &'a Program, option: &str) -> Link<'a> {
        let dir = self.0.path().display().to_string();
        let link = Link::new(program).env("RELTO_DISK_CACHE", &dir);
        link.option(option)
    }
}

/// Its modules were compiled with debug information.
fn debugged() -> Program {
    feature(Feature::Debug)
}

/// The files in `dir` by name; none if it does not exist.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let files = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        (name.into_owned(), fs::read(&path).expect("read"))
    });
    files.collect()
}

fn dwo(outcome: &LinkOutcome) -> BTreeMap<String, Vec<u8>> {
    files(&outcome.dir().join("dwo"))
}

fn assert_all_here(counts: Counts) {
    assert!(counts.jobs > 0 && counts.local == counts.jobs, "{counts:?}");
}

#[test]
fn another_link_finds_objects_and_debug_information_in_the_cache() {
    let program = debugged();
    let cache = Cache::new();
    let link = || cache.link(&program, DIR).keep_objects();
    let made = link().run_at(here()).expect_works();
    assert_all_here(made.counts());
    let written = dwo(&made);
    assert_eq!(written.len(), 3, "{:?}", written.keys());
    let is_digest = |name: &str| {
        let (stem, extension) = name.split_once('.').expect("an extension");
        extension == "dwo" && stem.len() == 32 && stem.bytes().all(|it| it.is_ascii_hexdigit())
    };
    assert!(
        written.keys().all(|name| is_digest(name)),
        "{:?}",
        written.keys()
    );
    let found = link().run_at(here()).expect_works();
    assert_all_cached(found.counts());
    assert!(dwo(&found) == written);
    let executable = |outcome: &LinkOutcome| fs::read(outcome.executable()).expect("linked");
    assert!(executable(&found) == executable(&made));
}

/// Whether the same job runs here or is found, its object names the directory as it is spelled.
#[test]
fn a_directory_of_another_name_is_another_key() {
    let program = debugged();
    let cache = Cache::new();
    let link = |dir: &str| {
        let link = cache.link(&program, &format!("--dwo-dir={dir}"));
        link.run_at(here()).expect_works()
    };
    let parent = tempfile::tempdir().expect("a directory");
    let absolute = parent.path().join("a/b").display().to_string();
    for dir in ["dwo", "dwo2", &absolute] {
        assert_all_here(link(dir).counts());
        assert_all_cached(link(dir).counts());
    }
    assert_eq!(files(Path::new(&absolute)).len(), 3);
}

#[test]
fn files_that_are_missing_damaged_or_links_are_put_right_by_a_cached_link() {
    let program = debugged();
    let cache = Cache::new();
    let dir = tempfile::tempdir().expect("a directory");
    let (kept, secret) = (dir.path().join("kept"), dir.path().join("secret"));
    let option = format!("--dwo-dir={}", kept.display());
    let link = || {
        let link = cache.link(&program, &option);
        link.run_at(here()).expect_works()
    };
    link();
    let written = files(&kept);
    let paths: Vec<_> = written.keys().map(|name| kept.join(name)).collect();
    fs::write(&secret, "mine").expect("written");
    fs::remove_file(&paths[0]).expect("removed");
    fs::write(&paths[1], "damaged").expect("written");
    fs::remove_file(&paths[2]).expect("removed");
    fs::os::unix::fs::symlink(&secret, &paths[2]).expect("linked");
    assert_all_cached(link().counts());
    assert!(files(&kept) == written);
    assert!(fs::symlink_metadata(&paths[2]).expect("there").is_file());
    assert_eq!(fs::read_to_string(&secret).expect("read"), "mine");
}

#[test]
fn modules_without_debug_information_have_no_file() {
    let program = feature(Feature::Plain);
    let outcome = Cache::new().link(&program, DIR).run_at(here());
    let outcome = outcome.expect_works();
    assert_all_here(outcome.counts());
    assert!(!outcome.dir().join("dwo").exists());
}

/// It ran in place without `dwo_dir`, because clang would name the file after lld's process.
#[test]
fn a_job_that_asks_for_split_dwarf_itself_is_cached_too() {
    let program = debugged();
    let cache = Cache::new();
    let argument = "-Wl,--thinlto-remote-compiler-arg=-gsplit-dwarf";
    let link = || {
        let link = cache.link(&program, DIR).argument(argument);
        link.run_at(here()).expect_works()
    };
    assert_all_here(link().counts());
    let found = link();
    assert_all_cached(found.counts());
    assert_eq!(dwo(&found).len(), 3);
    let beside = fs::read_dir(found.dir()).expect("listed");
    let mut beside = beside.map(|it| it.expect("an entry").path());
    assert!(!beside.any(|it| it.extension().is_some_and(|it| it == "dwo")));
}

#[test]
fn a_job_that_runs_in_place_keeps_its_debug_information_in_the_object() {
    let main = "#include <stdio.h>\nextern const char data[];\nint main(void) {\n\
        asm volatile(\".pushsection .rodata\\n.globl data\\ndata: .incbin \\\"data.bin\\\"\\n\
        .byte 0\\n.popsection\");\nputs(data); return 0; }\n";
    let program = of_texts("split-dwarf-incbin", &[("main.c", main)], &["-g"]);
    let link = Link::new(&program).option(DIR);
    fs::write(link.dir().join("data.bin"), "ok").expect("written");
    let outcome = link.run_at(here());
    let outcome = outcome.expect_works();
    assert_eq!(outcome.counts().in_place, 1, "{}", outcome.stderr);
    assert!(!outcome.dir().join("dwo").exists());
}

#[test]
fn a_directory_that_cannot_be_written_fails_the_link_and_is_named() {
    let program = debugged();
    let link = Link::new(&program).option(DIR);
    fs::write(link.dir().join("dwo"), "a file").expect("written");
    let outcome = link.run_at(here());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for part in [
        "cannot write the debug information `dwo/",
        "hint: `dwo_dir`",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
}

#[test]
fn a_farm_returns_debug_information_and_another_machine_finds_it() {
    for profile in [Profile::buildbarn(), Profile::kajiya()] {
        let farm = Farm::start(profile);
        let program = debugged();
        let link = || strict(&program, &farm.environment()).option(DIR);
        let made = link().run_at(here()).expect_works();
        assert_all_remote(made.counts());
        farm.record().assert_no_violations();
        let found = link().run_at(here()).expect_works();
        assert_all_cached(found.counts());
        let local = Cache::new().link(&program, DIR).run_at(here());
        let local = local.expect_works();
        assert_eq!(dwo(&made).len(), 3);
        assert!(dwo(&made) == dwo(&found) && dwo(&made) == dwo(&local));
    }
}

/// Changes the `.dwo` file of everything in the farm's action cache.
fn spoil_all(farm: &Farm, spoil: impl Fn(usize, Digest) -> Digest) {
    let instance = farm.profile().instance.unwrap_or_default();
    for (number, (action, mut result)) in farm.results().into_iter().enumerate() {
        let file = dwo_of(&mut result);
        let digest = file.digest.as_ref().expect("a digest");
        let digest = Digest::from_pb(digest).expect("well-formed");
        file.digest = Some(spoil(number, digest).to_pb());
        file.contents.clear();
        farm.put_result(instance, action, result);
    }
}

fn dwo_of(result: &mut ActionResult) -> &mut relto::internals::pb::reapi::OutputFile {
    let mut files = result.output_files.iter_mut();
    let file = files.find(|it| it.path == "relto/out.dwo");
    file.expect("a `.dwo` file")
}

#[test]
fn debug_information_that_is_not_the_objects_own_is_made_again() {
    let farm = Farm::start(Profile::plain());
    let program = debugged();
    let link = || strict(&program, &farm.environment()).option(DIR);
    let made = link().run_at(here()).expect_works();
    let right = dwo(&made);
    let nothing = DigestFunction::Sha256.digest(b"");
    let text = farm.put("no object");
    // An object without any debug information.
    let plain = feature(Feature::Plain);
    let plain = Link::new(&plain).keep_objects().run_at(here());
    let object = plain.expect_works().objects().into_iter().next();
    let without = farm.put(object.expect("an object"));
    let mut own = farm.results().into_values();
    let mut some = own.next().expect("a result");
    let of_one = dwo_of(&mut some).digest.clone().expect("a digest");
    let of_one = Digest::from_pb(&of_one).expect("well-formed");
    for (wrong, spoiled) in [(nothing, 3), (text, 3), (without, 3), (of_one, 2)] {
        spoil_all(&farm, |_, _| wrong);
        let again = link().run_at(here()).expect_works();
        let counts = again.counts();
        assert_eq!(
            (counts.remote, counts.cached),
            (spoiled, 3 - spoiled),
            "{}",
            again.stderr
        );
        assert!(dwo(&again) == right);
    }
}

/// Compiled where it is linked, as most build systems do: the compilation directory and the name
/// in the object then lead to the file.
fn built_in_place(flags: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let texts = [
        (
            "main.c",
            "struct account { long balance; const char *owner; };\n\
             long pay(struct account *a, long sum);\n\
             int main(void) { struct account a = { 5, \"x\" }; return (int)pay(&a, 5); }\n",
        ),
        (
            "pay.c",
            "struct account { long balance; const char *owner; };\n\
             struct receipt { long number; };\n\
             static struct receipt last = { 1 };\n\
             __attribute__((noinline)) long pay(struct account *a, long sum)\n\
             { last.number += sum; a->balance -= sum; return a->balance * last.number; }\n",
        ),
    ];
    for (name, text) in texts {
        fs::write(dir.path().join(name), text).expect("written");
        let mut clang = Llvm::get().command("clang");
        clang
            .current_dir(&dir)
            .args(["-O1", "-g", "-flto=thin", "-c", name]);
        run(clang.args(flags));
    }
    dir
}

/// What a tool of LLVM says about files in `dir`.
fn tool(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let mut command = Llvm::get().command(name);
    run(command.current_dir(dir).args(arguments))
}

fn link_in(dir: &Path, cache: &Cache, option: &str) -> String {
    let relto = crate::support::built::relto();
    let mut clang = Llvm::get().command("clang");
    here().apply(&mut clang);
    clang.env("RELTO_DISK_CACHE", cache.0.path());
    clang
        .current_dir(dir)
        .args(["-g", "-gsplit-dwarf", "-flto=thin", "-fuse-ld=lld"]);
    clang.arg(format!("-fthinlto-distributor={}", relto.display()));
    clang.arg(format!("-Xthinlto-distributor={option}"));
    let output = clang.args(["main.o", "pay.o", "-o", "app"]).output();
    let output = output.expect("clang starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

/// What the debugger calls the type of a variable and the members of a structure.
fn debugger_finds_types(dir: &Path) {
    let mut gdb = Command::new("gdb");
    gdb.current_dir(dir)
        .env("HOME", dir)
        .env_remove("DEBUGINFOD_URLS");
    gdb.args([
        "-nx",
        "-batch",
        "-ex",
        "ptype struct account",
        "-ex",
        "whatis last",
        "app",
    ]);
    let said = run(&mut gdb);
    for part in [
        "long balance;",
        "const char *owner;",
        "type = struct receipt",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn debuggers_and_packers_find_the_files_of_a_cached_link() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let built = built_in_place(&["-gsplit-dwarf", version]);
        let (dir, cache) = (built.path(), Cache::new());
        link_in(dir, &cache, DIR);
        fs::remove_dir_all(dir.join("dwo")).expect("removed");
        let said = link_in(dir, &cache, DIR);
        assert!(said.contains("2 cached"), "{said}");
        assert_eq!(files(&dir.join("dwo")).len(), 2);
        debugger_finds_types(dir);
        let verified = tool(dir, "llvm-dwarfdump", &["--verify", "app"]);
        assert!(verified.contains("No errors."), "{verified}");
        tool(dir, "llvm-dwp", &["-e", "app", "-o", "packed"]);
        let packed = tool(dir, "llvm-dwarfdump", &["--debug-info", "packed"]);
        for name in ["\"account\"", "\"receipt\""] {
            assert!(packed.contains(name), "{packed}");
        }
    }
}

/// The file is where the object says, whatever directory the modules were compiled in.
#[test]
fn an_absolute_directory_is_found_from_anywhere() {
    let built = built_in_place(&["-fdebug-compilation-dir=/nowhere"]);
    let kept = tempfile::tempdir().expect("a directory");
    let option = format!("--dwo-dir={}", kept.path().display());
    link_in(built.path(), &Cache::new(), &option);
    debugger_finds_types(built.path());
}

/// clang says it to the linker as `-plugin-opt=dwo_dir=app-dwo`.
#[test]
fn the_linker_wrapper_takes_the_directory_that_the_linker_was_given() {
    let built = built_in_place(&[]);
    let (dir, cache) = (built.path(), Cache::new());
    let linker = dir.join("relto-ld.lld");
    fs::os::unix::fs::symlink(crate::support::built::relto(), &linker).expect("linked");
    let link = || {
        let mut clang = Llvm::get().command("clang");
        here().apply(&mut clang);
        clang.env("RELTO_DISK_CACHE", cache.0.path());
        clang.current_dir(dir).args(["-gsplit-dwarf", "-flto=thin"]);
        clang.arg(format!("--ld-path={}", linker.display()));
        let output = clang.args(["main.o", "pay.o", "-o", "app"]).output();
        let output = output.expect("clang starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        stderr
    };
    link();
    let said = link();
    assert!(said.contains("2 cached"), "{said}");
    // The linker itself writes one for what it compiles in the thin link.
    let mut files = files(&dir.join("app-dwo"));
    files.retain(|name, _| name != "0.dwo");
    assert_eq!(files.len(), 2, "{:?}", files.keys());
    debugger_finds_types(dir);
}
