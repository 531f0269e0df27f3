//! What `relto ld` prints is what the linker alone prints: no message is lost, none comes twice,
//! and files have the linker's own names.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;

use crate::support::wrapped::{Release, WrapperDir};

const COMMON: &str = "int f(void); int g(void); int twice; __attribute__((noinline)) int w(void) { __asm__(\"\"); return 1; }\n\
    int main(void) { return f() + g() + twice + w(); }\n";

pub(super) fn fixture(release: &Release) -> WrapperDir {
    let fixture = WrapperDir::new(release);
    let flags = ["-flto=thin", "-fPIC", "-fcommon"];
    fixture.compile("main.c", COMMON, &flags);
    fixture.compile(
        "f.c",
        "int nowhere(void); int twice; int f(void) { return nowhere(); }\n",
        &flags,
    );
    fixture.compile(
        "g.c",
        "int missing(void); int g(void) { return missing(); }\n",
        &["-fPIC"],
    );
    fixture.compile(
        "h.c",
        "int missing(void) { return 1; } int nowhere(void) { return 2; }\n",
        &flags,
    );
    fixture.compile(
        "i.c",
        "int i(void) { return 1; } __attribute__((used)) static int gone(void) { return 2; }\n",
        &["-fPIC", "-ffunction-sections"],
    );
    fixture.archive("rcs", "libh.a", &["h.o", "i.o"]);
    fixture.write(
        "versions",
        "V1 { global: main; i; never; local: *; }; V2 { global: i; };\n",
    );
    fixture.write("order", "main\nnever\nf\nf\n");
    fixture
}

pub(super) fn link(
    fixture: &WrapperDir,
    through_relto: bool,
    linker: &str,
    words: &[&str],
) -> Output {
    let linker = fixture.release.tool(linker);
    let mut command = Command::new(if through_relto {
        Path::new(env!("CARGO_BIN_EXE_relto"))
    } else {
        &linker
    });
    if through_relto {
        command.args(["ld", "--quiet", "--no-fallback", "--"]);
        command.arg(&linker);
    }
    fixture.home.apply(&mut command);
    command.current_dir(fixture.dir()).args(words);
    command.output().expect("started")
}

/// Messages of undefined symbols come in any order, and so do the places of each.
fn in_order(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).into_owned();
    if !text.contains("undefined symbol: ") {
        return text;
    }
    let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Links both ways. Returns what was printed.
fn same(fixture: &WrapperDir, linker: &str, words: &[&str]) -> String {
    let [theirs, ours] = [false, true].map(|through_relto| {
        let output = link(fixture, through_relto, linker, words);
        let map = fs::read(fixture.path("map")).unwrap_or_default();
        let _ = fs::remove_file(fixture.path("map"));
        (output, map)
    });
    let release = fixture.release.major;
    assert_eq!(
        ours.0.status, theirs.0.status,
        "LLVM {release}, {words:?}: {:?}",
        ours.0
    );
    assert_eq!(
        in_order(&ours.0.stderr),
        in_order(&theirs.0.stderr),
        "LLVM {release}, {words:?}"
    );
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (ours, theirs) in [(&ours.0.stdout, &theirs.0.stdout), (&ours.1, &theirs.1)] {
        assert_eq!(text(ours), text(theirs), "LLVM {release}, {words:?}");
    }
    text(&[theirs.0.stderr, theirs.0.stdout, theirs.1].concat())
}

#[test]
fn messages_and_maps_are_the_linkers_own() {
    for release in Release::installed() {
        let fixture = fixture(&release);
        let base = ["-e", "main", "-o", "app", "main.o", "f.o", "g.o"];
        for (words, part) in [
            (
                &["--warn-unresolved-symbols"][..],
                "undefined symbol: nowhere",
            ),
            (
                &["--noinhibit-exec", "--color-diagnostics"],
                "undefined symbol: missing",
            ),
            (&["libh.a", "--warn-common"], "multiple common of twice"),
            (
                &["libh.a", "--warn-common", "-z", "foo", "-z", "foo"],
                "unknown -z value: foo",
            ),
            (&["libh.a", "-e", "never"], "cannot find entry symbol never"),
            (
                &["libh.a", "--symbol-ordering-file=order"],
                "symbol ordering file: no such symbol: never",
            ),
            (
                &[
                    "libh.a",
                    "-u",
                    "i",
                    "-shared",
                    "--version-script=versions",
                    "--undefined-version",
                ],
                "attempt to reassign symbol 'i'",
            ),
            (
                &["libh.a", "-u", "i", "--gc-sections", "--print-gc-sections"],
                "removing unused section",
            ),
            (
                &["libh.a", "--icf=all", "--print-icf-sections"],
                "removing identical section",
            ),
            (
                &["libh.a", "-u", "i", "--print-map"],
                "libh.a(i.o):(.text.i)",
            ),
            (&["libh.a", "-Map=map", "--exclude-libs=ALL"], "g.o:(.text)"),
            (&["libh.a", "--orphan-handling=warn"], ""),
            (
                &["libh.a", "-z", "force-ibt"],
                "file does not have GNU_PROPERTY_X86_FEATURE_1_IBT property",
            ),
        ] {
            let said = same(&fixture, "ld.lld", &[&base[..], words].concat());
            assert!(
                said.contains(part),
                "LLVM {}, {words:?}: {said}",
                release.major
            );
        }
    }
}

/// Older linkers do not mind, later ones refuse it.
#[test]
fn a_version_script_is_warned_about_where_the_linker_warns() {
    for release in Release::installed() {
        if release.major != 16 {
            continue;
        }
        let fixture = fixture(&release);
        let words = ["-shared", "-o", "app", "main.o", "f.o", "g.o", "libh.a"];
        let words = [&words[..], &["--version-script=versions"]].concat();
        let said = same(&fixture, "ld.lld", &words);
        assert!(said.contains("to symbol 'never' failed"), "{said}");
    }
}

#[test]
fn a_map_of_megabytes_is_whole() {
    let fixture = fixture(&Release::under_test());
    let mut text = String::new();
    for number in 0..60_000 {
        let _ = writeln!(text, ".globl symbol_{number}\nsymbol_{number}: ret");
    }
    fixture.write("many.s", &text);
    let mut clang = fixture.command("clang");
    let assembled = clang.args(["-c", "many.s"]).status().expect("clang starts");
    assert!(assembled.success());
    let words = ["-e", "main", "-o", "app", "main.o", "f.o", "g.o", "libh.a"];
    let words = [&words[..], &["many.o", "--print-map"]].concat();
    let said = same(&fixture, "ld.lld", &words);
    assert!(said.len() > 3 << 20, "{}", said.len());
}

#[test]
fn wasm_ld_says_what_it_says_alone() {
    let release = Release::under_test();
    let fixture = WrapperDir::new(&release);
    let target = ["--target=wasm32-wasi", "-Wno-deprecated"];
    let module = [&target[..], &["-flto=thin"]].concat();
    fixture.compile(
        "main.c",
        "int f(void); int g(void); int main(void) { return f() + g(); }\n",
        &module,
    );
    fixture.compile(
        "f.c",
        "int nowhere(void); int f(void) { return nowhere(); }\n",
        &module,
    );
    fixture.compile("g.c", "int g(void) { return 1; }\n", &target);
    let base = ["--entry=main", "-o", "app", "main.o", "f.o", "g.o"];
    for words in [
        &["--warn-unresolved-symbols", "-z", "foo"][..],
        &["--allow-undefined", "--print-gc-sections"],
        &["--allow-undefined", "--print-map"],
        &["--allow-undefined", "-Map=map"],
    ] {
        same(&fixture, "wasm-ld", &[&base[..], words].concat());
    }
}

/// The linker's own LTO is not tried then: it would take long to find the same.
#[test]
fn undefined_symbols_are_reported_once_and_as_the_linker_reports_them() {
    for release in Release::installed() {
        let fixture = fixture(&release);
        fixture.compile(
            "x.cc",
            "int away(long); extern \"C\" int nowhere() { return away(3); }\n",
            &["-flto=thin", "-fPIC"],
        );
        for more in [&[][..], &["x.o"]] {
            let words = ["-e", "main", "-o", "app", "main.o", "f.o", "g.o"];
            let words = [&words[..], more].concat();
            let said = same(&fixture, "ld.lld", &words);
            assert!(said.contains("undefined symbol: missing"), "{said}");
            assert_eq!(said.contains("away(long)"), !more.is_empty(), "{said}");
        }
    }
}

/// Nor is there a name of the scratch directory in them.
#[test]
fn other_errors_of_the_final_link_are_the_linkers_own() {
    let fixture = fixture(&Release::under_test());
    fixture.write(
        "script",
        "SECTIONS { .text : { *(.text*) } ASSERT(0, \"never\") }\n",
    );
    let words = [
        "-T", "script", "-e", "main", "-o", "app", "main.o", "f.o", "g.o",
    ];
    let words = [&words[..], &["libh.a"]].concat();
    let [theirs, ours] = [false, true].map(|relto| link(&fixture, relto, "ld.lld", &words));
    assert_eq!(ours.status, theirs.status);
    let said = String::from_utf8_lossy(&ours.stderr).into_owned();
    let (of_linker, of_relto) = said.split_once("relto: ").expect("both speak");
    assert_eq!(of_linker.as_bytes(), theirs.stderr);
    assert!(of_relto.contains("the final link failed"), "{of_relto}");
}
