//! Linker scripts, and other files that options name.

use std::process::Command;

use fs_err as fs;

use crate::support::daemon::stderr;
use crate::support::wrapped::{Release, WrapperDir};

fn fixture() -> WrapperDir {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module(
        "main.c",
        "#include <stdio.h>\nint main(void) { puts(\"main\"); return 0; }\n",
    );
    fixture
}

const PRINTS: &str = "#include <stdio.h>\n\
    __attribute__((constructor)) static void once(void) { puts(\"once\"); }\n";

/// The option is there in both links. Nothing complains about a file without global symbols that is
/// there twice, but its constructors would run twice.
#[test]
fn inputs_that_the_script_of_an_option_names_are_linked_once() {
    let fixture = fixture();
    fixture.compile("native.c", PRINTS, &[]);
    fixture.module("module.c", PRINTS);
    for name in ["native", "module"] {
        fixture.write("inputs.lds", &format!("INPUT({name}.o)\n"));
        for option in ["-T,inputs.lds", "--script=inputs.lds", "-dT,inputs.lds"] {
            let words = ["main.o", &format!("-Wl,{option}")];
            fixture.alone("clang", &words, "inputs.lds` names inputs");
            assert_eq!(fixture.run_app(), "once\nmain\n", "{option}");
        }
        fixture.write("outer.lds", "INCLUDE inputs.lds\n");
        let reason = "the linker script `outer.lds` includes another one";
        fixture.alone("clang", &["main.o", "-Wl,-T,outer.lds"], reason);
        // Among the inputs it is the same as the file.
        let jobs = 1 + usize::from(name == "module");
        fixture.same("clang", &["main.o", "inputs.lds"], jobs);
        assert_eq!(fixture.run_app(), "once\nmain\n");
    }
}

/// A script with modules is not there in the final link, nor is what else it says.
#[test]
fn a_script_that_names_modules_and_says_more_is_the_linkers() {
    let fixture = fixture();
    fixture.compile(
        "f.c",
        "int f(void) { return 1; } int g(void) { return 2; }\n",
        &["-flto=thin", "-fPIC"],
    );
    let versions = "VERSION { V1 { global: f; local: *; }; }\n";
    for more in [versions, "EXTERN(g)\n", "h = 0x1234;\n"] {
        fixture.write("both.lds", &format!("{more}INPUT(f.o)\n"));
        let reason = "the linker script `both.lds` does more than name inputs";
        fixture.alone("clang", &["-shared", "both.lds"], reason);
    }
    fixture.write("versions.lds", versions);
    fixture.same("clang", &["-shared", "f.o", "versions.lds"], 1);
}

/// The linker's own LTO gives objects names that no file has, and the final link moves members of
/// archives.
#[test]
fn sections_are_placed_by_names_of_files_as_the_linker_alone_does() {
    for release in Release::installed() {
        let fixture = placed(&release);
        for pattern in [
            "*(.text*)",
            "*n.o(.text*)",
            "*.o(.text._start)",
            "*libx.a:*(.text*)",
            "libx.a:o.o(.text*)",
            "app*(.text*)",
            "lto.tmp(.text*)",
            "*foo.o(.text*)",
            "*(EXCLUDE_FILE(*foo.o) .text*)",
            "*/*(.text*)",
            ":*.o(.text*)",
        ] {
            place(&fixture, pattern);
            for words in [OBJECTS, ARCHIVE] {
                let theirs = fixture.plain("clang", words);
                fixture.wrapped("clang", words);
                let ours = fs::read(fixture.path("app")).expect("linked");
                assert!(
                    ours == theirs,
                    "LLVM {}: {pattern} {words:?}",
                    release.major
                );
            }
        }
    }
}

#[test]
fn only_patterns_that_select_names_of_objects_are_left_to_the_linker() {
    let fixture = placed(&Release::under_test());
    for pattern in [
        "*(.text*)",
        "*main.o(.text*)",
        "*n.o(EXCLUDE_FILE(*crt?.o) .text*)",
    ] {
        place(&fixture, pattern);
        fixture.same("clang", OBJECTS, 2);
    }
    place(&fixture, "app*(.text*)");
    let reason = "`app*` in a linker script may select files by names that LTO gives them";
    fixture.alone("clang", OBJECTS, reason);
}

const OBJECTS: &[&str] = &[
    "-nostdlib",
    "-static",
    "main.o",
    "foo.o",
    "o.o",
    "n.o",
    "-Wl,-T,s.lds",
];
const ARCHIVE: &[&str] = &[
    "-nostdlib",
    "-static",
    "main.o",
    "libx.a",
    "n.o",
    "-Wl,-T,s.lds",
];

fn placed(release: &Release) -> WrapperDir {
    let fixture = WrapperDir::new(release);
    fixture.module(
        "main.c",
        "int f(void); int n(void); int o(void); void _start(void) { f(); n(); o(); for (;;); }\n",
    );
    fixture.module(
        "foo.c",
        "__attribute__((noinline)) int f(void) { __asm__(\"\"); return 3; }\n",
    );
    fixture.compile("n.c", "int n(void) { return 4; }\n", &[]);
    fixture.compile("o.c", "int o(void) { return 5; }\n", &[]);
    fixture.archive("rcs", "libx.a", &["foo.o", "o.o"]);
    fixture
}

/// Writes a script that gives what `pattern` selects a section of its own.
fn place(fixture: &WrapperDir, pattern: &str) {
    fixture.write(
        "s.lds",
        &format!(
            "SECTIONS {{ . = 0x10000; .first : {{ {pattern} }}\n\
             . = 0x20000; .text : {{ *(.text .text.*) }} }}\n"
        ),
    );
}

/// The thin link would read what the final link needs.
#[test]
fn what_can_be_read_only_once_is_the_linkers() {
    let fixture = fixture();
    fixture.compile(
        "a.c",
        "int f(void) { return 1; } int g(void) { return 2; }\n",
        &["-flto=thin", "-fPIC"],
    );
    fixture.write("versions", "{ global: f; local: *; };\n");
    fixture.write("symbols", "g\nf\n");
    fixture.write("dynamic", "{ f; };\n");
    fixture.write("lds", "SECTIONS { .text : { *(.text*) } }\n");
    for (option, file) in [
        ("--version-script=", "versions"),
        ("--version-script ", "versions"),
        ("--dynamic-list ", "dynamic"),
        ("--symbol-ordering-file ", "symbols"),
        ("--retain-symbols-file=", "symbols"),
        ("-T ", "lds"),
        ("-T", "lds"),
    ] {
        let link = |linker: &str, output: &str| {
            let mut shell = Command::new("bash");
            fixture.home.apply(&mut shell);
            shell.current_dir(fixture.dir());
            let line = format!("{linker} -shared a.o -o {output} {option}<(cat {file})");
            let output = shell.args(["-c", &line]).output().expect("bash starts");
            assert!(output.status.success(), "{option}: {output:?}");
            stderr(&output)
        };
        let linker = fixture.release.tool("ld.lld").display().to_string();
        link(&linker, "theirs");
        let said = link(
            &format!("{} ld -- {linker}", env!("CARGO_BIN_EXE_relto")),
            "ours",
        );
        assert!(said.contains("can be read only once"), "{option}: {said}");
        let read = |name| fs::read(fixture.path(name)).expect("linked");
        assert!(read("ours") == read("theirs"), "{option}");
    }
    let said = fixture.wrapped(
        "clang",
        &["-shared", "a.o", "-Wl,--version-script=/dev/stdin"],
    );
    assert!(stderr(&said).contains("`/dev/stdin` can be read only once"));
}

#[test]
fn a_variable_that_asks_for_all_inputs_is_the_linkers() {
    let fixture = fixture();
    let mut command = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &["main.o"]);
    let output = command
        .env("LLD_REPRODUCE", "all.tar")
        .output()
        .expect("clang starts");
    let said = stderr(&output);
    assert!(said.contains("alone: `LLD_REPRODUCE` is set"), "{said}");
    let listed = Command::new("tar")
        .current_dir(fixture.dir())
        .args(["tf", "all.tar"])
        .output();
    let listed = String::from_utf8(listed.expect("tar starts").stdout).expect("names");
    assert!(
        listed.contains("/main.o\n") && !listed.contains("thin-link"),
        "{listed}"
    );
}

/// Backends of clang would be others.
#[test]
fn a_variable_that_only_clang_takes_notice_of_is_no_part_of_a_link() {
    let fixture = fixture();
    let ld = |program: &str, first: &[&str]| {
        let mut command = Command::new(program);
        fixture.home.apply(&mut command);
        command.env(
            "CCC_OVERRIDE_OPTIONS",
            "# +-fno-unroll-loops +-mno-red-zone +-fbasic-block-sections=all",
        );
        command.current_dir(fixture.dir()).args(first);
        let words = ["-shared", "main.o", "-o", "app"];
        let output = command.args(words).output().expect("started");
        (output, fs::read(fixture.path("app")).expect("linked"))
    };
    let linker = fixture.release.tool("ld.lld").display().to_string();
    let (_, theirs) = ld(&linker, &[]);
    let (output, ours) = ld(env!("CARGO_BIN_EXE_relto"), &["ld", "--", &linker]);
    let said = stderr(&output);
    assert!(
        said.contains("alone: `CCC_OVERRIDE_OPTIONS` is set"),
        "{said}"
    );
    assert!(ours == theirs);
}

/// A semicolon ends the prefix that the thin link is given for what it writes.
#[test]
fn a_scratch_directory_with_a_semicolon_leaves_nothing_beside_the_modules() {
    let fixture = fixture();
    let dir = fixture.path("a;b");
    fs::create_dir(&dir).expect("made");
    let mut command = fixture.link_command("clang", &fixture.path("relto-ld.lld"), &["main.o"]);
    let output = command.env("TMPDIR", &dir).output().expect("clang starts");
    let said = stderr(&output);
    assert!(said.contains("contains a semicolon"), "{said}");
    fixture.assert_nothing_is_left();
}
