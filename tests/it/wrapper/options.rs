//! Which links become the linker at once, which ones the linker does alone, and which are errors.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};

use fs_err as fs;

use crate::support::daemon::stderr;
use crate::support::wrapped::{Release, WrapperDir};

fn fixture() -> WrapperDir {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module("main.c", "int f(void); int main(void) { return f(); }\n");
    fixture.module("f.c", "int f(void) { return 0; }\n");
    fixture
}

const INPUTS: [&str; 2] = ["main.o", "f.o"];

#[test]
fn a_link_without_modules_is_the_linkers_from_the_start() {
    let fixture = fixture();
    fixture.compile("main.c", "int main(void) { return 0; }\n", &[]);
    let output = fixture.wrapped("clang", &["main.o"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    fixture.compile("main.c", "int main(void) { return 0; }\n", &["-flto=full"]);
    let output = fixture.wrapped("clang", &["main.o"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let output = fixture.wrapped("clang", &["-Wl,--version"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("LLD"),
        "{output:?}"
    );
    // Nor is a word said of a script that relto does not read.
    fixture.compile("main.c", "int main(void) { return 0; }\n", &[]);
    fixture.write("inner.lds", "");
    fixture.write("outer.lds", "INCLUDE inner.lds\n");
    for script in ["outer.lds", "-Wl,-T,outer.lds"] {
        let output = fixture.wrapped("clang", &["main.o", script]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    // A member of an archive that no one asks for.
    fixture.archive("rcs", "libf.a", &["f.o"]);
    let output = fixture.wrapped("clang", &["main.o", "libf.a"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn a_distributor_of_its_own_is_left_alone() {
    let fixture = fixture();
    let distributor = format!("-fthinlto-distributor={}", env!("CARGO_BIN_EXE_relto"));
    let output = fixture.wrapped("clang", &[&INPUTS[..], &[&distributor]].concat());
    let said = stderr(&output);
    assert!(
        output.status.success() && said.contains("relto: 2 jobs, 2 local"),
        "{said}"
    );
}

#[test]
fn the_linker_does_alone_what_relto_cannot_and_relto_says_why() {
    let fixture = fixture();
    fixture.write("versions", "{ global: main; local: *; };\n");
    fixture.write("retained", "main\n");
    for (words, reason) in [
        (
            &["-Wl,--trace"][..],
            "`--trace` shows how the inputs were linked",
        ),
        (&["-Wl,--lto-O1"], "optimization level 1"),
        (&["-Wl,-plugin-opt=save-temps"], "`-plugin-opt=save-temps`"),
        (
            &["-Wl,-mllvm,-code-model=small"],
            "`-mllvm -code-model=small` has no counterpart",
        ),
        (
            &["-Wl,-mllvm,-dwarf64"],
            "`-mllvm -dwarf64` has no counterpart",
        ),
        (
            &["-Wl,-mllvm,-time-passes"],
            "`-mllvm -time-passes` shows or changes the linker's own LTO",
        ),
        (
            &["-Wl,-plugin-opt=-pass-remarks=inline"],
            "shows or changes the linker's own LTO",
        ),
        (&["-Wl,-mllvm,-lto-embed-bitcode=optimized"], "shows or"),
        (&["-Wl,-mllvm,-opt-bisect-limit=100"], "shows or changes"),
        (&["-glldb"], "`-mllvm -debugger-tune=lldb` is left"),
        (&["-Wl,--just-symbols=main.o"], "changes what inputs mean"),
        (
            &["-Wl,--exclude-libs=ALL,--version-script=versions"],
            "`--exclude-libs` with a version script",
        ),
        (
            &["-Wl,--exclude-libs=ALL,--retain-symbols-file=retained"],
            "or a file of symbols to retain",
        ),
        (&["-Wl,--undefined-glob=f*"], "changes what inputs mean"),
    ] {
        let all = [&INPUTS[..], words].concat();
        let output = fixture.wrapped("clang", &all);
        let said = stderr(&output);
        assert!(
            said.contains("relto: warning: the linker does this link alone: "),
            "{words:?}: {said}"
        );
        assert!(said.contains(reason), "{words:?}: {said}");
        let mut strict = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &all);
        let _ = fs::remove_file(fixture.path("strict"));
        strict.env("RELTO_FALLBACK", "off").args(["-o", "strict"]);
        let output = strict.output().expect("clang starts");
        let said = stderr(&output);
        assert!(
            !output.status.success() && said.contains(reason),
            "{words:?}: {said}"
        );
        assert!(!fixture.path("strict").exists());
    }
}

#[test]
fn an_unknown_option_is_refused_by_the_linker_itself() {
    let fixture = fixture();
    let output = fixture.wrapped("clang", &[&INPUTS[..], &["-Wl,--frobnicate"]].concat());
    let said = stderr(&output);
    assert!(
        said.contains("relto does not know the option `--frobnicate`"),
        "{said}"
    );
    assert!(said.contains("unknown argument '--frobnicate'"), "{said}");
    assert!(!output.status.success());
}

#[test]
fn a_link_that_fails_fails_with_the_linkers_own_messages() {
    let fixture = fixture();
    for words in [
        &["main.o"][..],
        &["main.o", "f.o", "-lnothing"],
        &["main.o", "f.o", "missing.o"],
    ] {
        let linker = fixture.release.tool("ld.lld");
        let mut plain = fixture.link_command("clang", &linker, words);
        let theirs = plain.args(["-o", "app"]).output().expect("clang starts");
        let ours = fixture.wrapped("clang", words);
        let said = stderr(&ours);
        assert_eq!(ours.status.code(), theirs.status.code(), "{said}");
        for line in stderr(&theirs)
            .lines()
            .filter(|line| line.contains("error"))
        {
            let text = line.split_once("error").expect("found").1;
            assert!(said.contains(text), "{line}: {said}");
        }
    }
}

fn ld(fixture: &WrapperDir, words: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    fixture.home.apply(&mut command);
    command.current_dir(fixture.dir());
    command.args(["ld", "--no-fallback", "--"]);
    command.arg(fixture.release.tool("ld.lld")).args(words);
    command.output().expect("relto starts")
}

#[test]
fn without_fallback_no_module_is_linked_by_the_linker_alone_in_silence() {
    let fixture = fixture();
    fixture.archive("rcs", "libf.a", &["f.o"]);
    fixture.write("words", "main.o");
    let mut latin = fs::read(fixture.path("words")).expect("written");
    latin.extend_from_slice(b" -soname \xff");
    fs::write(fixture.path("latin"), latin).expect("written");
    let odd = OsStr::from_bytes(b"odd\xff.o");
    fs::copy(fixture.path("main.o"), fixture.dir().join(odd)).expect("copied");
    let plain = |words: &[&'static str]| -> Vec<&'static OsStr> {
        words.iter().map(|&word| OsStr::new(word)).collect()
    };
    for (words, reason) in [
        (vec![odd], "not UTF-8"),
        (plain(&["@latin"]), "latin"),
        (plain(&["-L.", "-lf", "--frobnicate"]), "--frobnicate"),
        (
            plain(&["-L", ".", "-l", "f", "--frobnicate"]),
            "--frobnicate",
        ),
        (
            plain(&["-o", "no/such/x", "main.o"]),
            "`no/such/x` cannot be written",
        ),
    ] {
        let words = [&plain(&["-shared", "-o", "app"])[..], &words].concat();
        let output = ld(&fixture, &words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
        assert!(!said.contains("job"), "{words:?}: {said}");
        assert!(!fixture.path("app").exists(), "{words:?}");
    }
}

/// Their kinds matter only where there is a module.
#[test]
fn native_inputs_that_relto_cannot_read_are_the_linkers_without_a_word() {
    let fixture = fixture();
    fixture.compile("n.c", "int n(void) { return 0; }\n", &[]);
    fixture.archive("rcs", "libn.a", &["n.o"]);
    let mut archive = fs::read(fixture.path("libn.a")).expect("written");
    // The size of the first member.
    archive[56..66].copy_from_slice(b"not a size");
    fs::write(fixture.path("damaged.a"), archive).expect("written");
    let relto = env!("CARGO_BIN_EXE_relto");
    let linker = fixture.release.tool("ld.lld");
    let piped = format!(
        "{relto} ld --no-fallback -- {} -r <(cat n.o) -o app",
        linker.display()
    );
    let mut command = Command::new("bash");
    fixture.home.apply(&mut command);
    command.current_dir(fixture.dir()).args(["-c", &piped]);
    let output = command.output().expect("bash starts");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let output = ld(&fixture, &["-r", "damaged.a", "-o", "app"].map(OsStr::new));
    assert!(!stderr(&output).contains("relto"), "{output:?}");
    let words = ["-shared", "main.o", "damaged.a", "-o", "app"];
    let output = ld(&fixture, &words.map(OsStr::new));
    assert!(stderr(&output).contains("damaged.a"), "{output:?}");
    assert!(stderr(&output).contains("relto cannot help"), "{output:?}");
}

#[test]
fn options_of_llvm_and_the_processor_reach_the_backends() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        fixture.module("main.c", "int f(int); int main(int c, char **v) { int s = 0; for (int i = 0; i < c; i++) s += f(i); return s; }\n");
        fixture.module("f.c", "int f(int x) { return x * x; }\n");
        for words in [
            &["-Wl,-mllvm,-inline-threshold=0"][..],
            &["-Wl,-plugin-opt=-import-instr-limit=0"],
            &["-march=haswell"],
            &["-Wl,--lto-O3"],
            &["-Wl,--lto-partitions=2"],
            &["-Wl,--thinlto-jobs=1,--thinlto-cache-dir=own-cache"],
            &["-ggdb"],
            &["-Wl,-v"],
        ] {
            fixture.same("clang", &[&INPUTS[..], words].concat(), 2);
        }
    }
}

/// Options that the final link must do the same with as the linker's own LTO does.
const KEPT: &[&[&str]] = &[
    &["-Wl,--allow-multiple-definition"],
    &["-Wl,--Bsymbolic", "-shared"],
    &["-Wl,--Bsymbolic-functions", "-shared"],
    &["-Wl,--build-id=md5"],
    &["-Wl,--disable-new-dtags,-rpath=/x"],
    &["-Wl,--discard-all"],
    &["-Wl,--discard-locals"],
    &["-Wl,--dynamic-list=names"],
    &["-Wl,--dynamic-list=names", "-shared"],
    &["-Wl,--emit-relocs"],
    &["-Wl,--exclude-libs=ALL", "-shared"],
    &["-Wl,--export-dynamic"],
    &["-Wl,--export-dynamic-symbol=f"],
    &["-Wl,--fini=f,--init=g"],
    &["-Wl,--gc-sections"],
    &["-Wl,--hash-style=both"],
    &["-Wl,--icf=all"],
    &["-Wl,--icf=safe"],
    &["-Wl,--lto-O3"],
    &["-Wl,--lto-basic-block-sections=all"],
    &["-Wl,--lto-whole-program-visibility"],
    &["-Wl,--no-dynamic-linker"],
    &["-Wl,--no-eh-frame-hdr"],
    &["-Wl,--no-gnu-unique"],
    &["-Wl,--no-relax"],
    &["-Wl,--no-rosegment"],
    &["-Wl,--orphan-handling=place"],
    &["-Wl,--pack-dyn-relocs=relr"],
    &["-Wl,--section-start=own=0x600000"],
    &["-Wl,--shuffle-sections=*=7"],
    &["-Wl,--sort-section=name"],
    &["-Wl,--soname=q", "-shared"],
    &["-Wl,--symbol-ordering-file=order"],
    &["-Wl,--undefined=h"],
    &["-Wl,--unique"],
    &["-Wl,--unresolved-symbols=ignore-all"],
    &["-Wl,--version-script=versions", "-shared"],
    &["-Wl,--whole-archive"],
    &["-Wl,--entry=f"],
    &["-Wl,-plugin-opt=-function-sections"],
    &["-Wl,-plugin-opt=mcpu=haswell"],
    &["-Wl,-S"],
    &["-Wl,-O2"],
    &["-Wl,-z,nocombreloc"],
    &["-Wl,-z,global", "-shared"],
    &["-Wl,-z,interpose", "-shared"],
    &["-Wl,-z,keep-text-section-prefix"],
    &["-Wl,-z,lazy"],
    &["-Wl,-z,max-page-size=65536"],
    &["-Wl,-z,norelro"],
    &["-Wl,-z,nostart-stop-gc", "-Wl,--gc-sections"],
    &["-Wl,-z,notext"],
    &["-Wl,-z,now"],
    &["-Wl,-z,retpolineplt"],
    &["-Wl,-z,separate-loadable-segments"],
    &["-Wl,-z,start-stop-visibility=hidden"],
    &["-Wl,-z,undefs"],
    &["script"],
];

#[test]
fn options_of_ld_lld_mean_what_they_mean_in_its_own_lto() {
    let fixture = WrapperDir::new(&Release::under_test());
    let module = |name, text| fixture.compile(name, text, &["-flto=thin", "-fPIC"]);
    module(
        "main.c",
        "#include <stdio.h>\nint f(int); int h(int); static int x = 4; int *p = &x;\n__attribute__((weak)) int w(void) { return 7; }\n__attribute__((constructor)) static void c(void) { puts(\"c\"); }\nint main(int c, char **v) { return f(c) + h(c) + w(); }\n",
    );
    module(
        "f.c",
        "int g(int); int puts(const char *); int f(int x) { return g(x) * 3; }\n__attribute__((destructor)) static void d(void) { puts(\"d\"); }\n",
    );
    module(
        "g.c",
        "_Thread_local int t = 5; static char b[40]; const char *const names[] = { \"a\", \"b\" };\n__attribute__((section(\"own\"), used)) int mine = 3;\nint g(int x) { b[x & 3]++; return x + t + ++b[1] + names[x & 1][0]; }\n",
    );
    fixture.compile(
        "h.c",
        "extern _Thread_local int t; int h(int x) { return x * 11 + t; }\n",
        &["-fPIC"],
    );
    fixture.archive("rcs", "libx.a", &["f.o", "h.o"]);
    fixture.archive("rcs", "liby.a", &["g.o"]);
    fixture.write("order", "h\ng\nmain\nf\n");
    fixture.write("names", "{ f; g; };\n");
    fixture.write("versions", "{ global: f; g; main; local: *; };\n");
    fixture.write(
        "script",
        "SECTIONS { .own : { *(own) } } INSERT AFTER .data;\n",
    );
    for words in KEPT {
        // clang's own libraries are no part of this.
        let own = [
            *words,
            &["main.o", "libx.a", "liby.a", "-Wl,--no-whole-archive"],
        ]
        .concat();
        fixture.same("clang", &own, 3);
    }
}

/// clang and the linker's own LTO have different defaults for some targets.
#[test]
fn thread_local_variables_of_every_target_are_reached_as_the_linker_would() {
    let fixture = fixture();
    let source = "__thread int t; extern __thread int u; int f(void) { return t + u; }\n";
    for (target, options) in [
        ("x86_64-linux-gnu", &[&[][..], &["-mtls-dialect=gnu2"]][..]),
        (
            "aarch64-linux-android24",
            &[&[], &["-Wl,-plugin-opt=-emulated-tls=0"]],
        ),
        ("x86_64-linux-android30", &[&[]]),
        // For Fuchsia, clang has other options for a linker that is called `ld.lld`.
        ("x86_64-fuchsia", &[]),
    ] {
        let target = format!("--target={target}");
        let flags = [&target, "-fPIC", "-flto=thin"];
        fixture.compile("t.c", source, &flags);
        fixture.compile("u.c", "__thread int u; int g(void) { return u; }\n", &flags);
        for option in options {
            let words = [
                &[&target[..], "-shared", "-nostdlib", "t.o", "u.o"],
                *option,
            ]
            .concat();
            fixture.same("clang", &words, 2);
        }
        // Called by something else than clang.
        for program in ["theirs", "ours"] {
            let linker = fixture.release.tool("ld.lld");
            let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
            fixture.home.apply(&mut command);
            if program == "theirs" {
                command = Command::new(&linker);
            } else {
                command.args(["ld", "--no-fallback", "--"]).arg(&linker);
            }
            command.current_dir(fixture.dir());
            let output = command
                .args(["-shared", "t.o", "u.o", "-o", program])
                .output();
            let output = output.expect("started");
            assert!(output.status.success(), "{target}: {output:?}");
        }
        let read = |name| fs::read(fixture.path(name)).expect("linked");
        assert!(read("ours") == read("theirs"), "{target}");
    }
}

#[test]
fn profiles_are_read_by_the_backends() {
    let fixture = fixture();
    fixture.write("sample.prof", "f:100:10\n 1: 10\nmain:100:1\n 1: 10 f:10\n");
    let words = ["main.o", "f.o", "-Wl,--lto-sample-profile=sample.prof"];
    let output = fixture.wrapped("clang", &words);
    assert_eq!(fixture.counts(&output, &words).local, 2);
    fixture.write(
        "sample.prof",
        "f:1000:100\n 1: 100\nmain:100:1\n 1: 10 f:10\n",
    );
    let output = fixture.wrapped("clang", &words);
    assert_eq!(
        fixture.counts(&output, &words).local,
        2,
        "another profile, another key"
    );
}

#[test]
fn a_compiler_of_another_release_is_refused_with_both_versions() {
    let releases = Release::installed();
    let [first, .., last] = &releases[..] else {
        return;
    };
    let fixture = WrapperDir::new(last);
    fixture.module("main.c", "int main(void) { return 0; }\n");
    let mut command = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &["main.o"]);
    let output = command
        .env("RELTO_THINLTO_COMPILER", first.tool("clang"))
        .output()
        .expect("clang starts");
    let said = stderr(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains(&format!("is of LLVM {}.", first.major)),
        "{said}"
    );
    assert!(
        said.contains(&format!("the linker of LLVM {}.", last.major)),
        "{said}"
    );
}

#[test]
fn the_command_names_linker_and_compiler_outright() {
    let fixture = fixture();
    let linker = fixture.release.tool("ld.lld");
    let mut command = fixture.command("clang");
    command = {
        let mut relto = Command::new(env!("CARGO_BIN_EXE_relto"));
        relto.current_dir(command.get_current_dir().expect("set"));
        fixture.home.apply(&mut relto);
        relto
    };
    let compiler = format!(
        "--thinlto-compiler={}",
        fixture.release.tool("clang").display()
    );
    command
        .args(["ld", &compiler, "--no-fallback", "--"])
        .arg(&linker);
    command.args(["-shared", "-o", "app", "main.o", "f.o"]);
    let output = command.output().expect("relto starts");
    assert!(
        stderr(&output).contains("relto: 2 jobs, 2 local"),
        "{output:?}"
    );
}

/// The linker's own LTO reads none.
#[test]
fn backends_read_no_configuration_files_of_clang() {
    let releases = Release::installed().into_iter();
    for release in releases.filter(|it| it.major >= 16) {
        let fixture = WrapperDir::new(&release);
        let main = "int f(int); int main(int c, char **v) { return f(c); }\n";
        fixture.module("main.c", main);
        fixture.module("f.c", "int f(int x) { return x > 3 ? x * 3 : x - 1; }\n");
        fs::create_dir(fixture.path("bin")).expect("made");
        // clang looks beside itself, links followed.
        let clang = fixture.path("bin/clang");
        fs::copy(release.tool("clang"), &clang).expect("copied");
        fixture.write("bin/clang.cfg", "-fstack-size-section\n");
        let theirs = fixture.plain("clang", &INPUTS);
        let mut command = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &INPUTS);
        command
            .args(["-o", "app"])
            .env("RELTO_THINLTO_COMPILER", &clang);
        command.env("LD_LIBRARY_PATH", release.bin.with_file_name("lib"));
        let output = command.output().expect("clang starts");
        assert_eq!(fixture.counts(&output, &INPUTS).jobs, 2);
        let ours = fs::read(fixture.path("app")).expect("linked");
        assert!(ours == theirs, "LLVM {}", release.major);
    }
}

/// clang passes the plugin of another linker to one whose name it does not know.
#[test]
fn a_linker_named_by_its_path_needs_no_plugin() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        fixture.module("main.c", "int f(void); int main(void) { return f(); }\n");
        fixture.module("f.c", "int f(void) { return 0; }\n");
        let link = |linker: &std::path::Path| {
            let mut command = fixture.command("clang");
            command.args(["-flto=thin", "-O2", "-Wno-fuse-ld-path", "-o", "app"]);
            command.arg(format!("-fuse-ld={}", linker.display()));
            let output = command.args(INPUTS).output().expect("clang starts");
            (output, fs::read(fixture.path("app")).expect("linked"))
        };
        let (_, theirs) = link(&fixture.release.tool("ld.lld"));
        let (output, ours) = link(&fixture.path("relto-ld.lld"));
        assert_eq!(fixture.counts(&output, &INPUTS).jobs, 2);
        assert!(ours == theirs, "LLVM {}", release.major);
    }
}

#[test]
fn a_thin_link_that_was_asked_for_is_the_linkers_without_a_word() {
    let fixture = fixture();
    for option in [
        "-Wl,--thinlto-index-only",
        "-Wl,--thinlto-index-only=list",
        "-Wl,-plugin-opt=thinlto-index-only",
    ] {
        let output = fixture.wrapped("clang", &[&INPUTS[..], &[option]].concat());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        fs::remove_file(fixture.path("f.o.thinlto.bc")).expect("written");
    }
}
