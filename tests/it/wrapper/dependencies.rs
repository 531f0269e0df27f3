//! The list of files that a program depends on is the linker's own.

use fs_err as fs;

use super::messages::{fixture, link};
use crate::support::wrapped::{Release, WrapperDir};

/// A native file that asks for a library.
const ASKS: &str = r#"__asm__(".section .deplibs,\"MS\",@llvm_dependent_libraries,1\n.asciz \"asked\"");
"#;

/// Links both ways. Returns the two lists of dependencies, relto's first.
fn lists(fixture: &WrapperDir, words: &[&str], succeeds: bool) -> [String; 2] {
    [true, false].map(|through_relto| {
        let words = [words, &["--dependency-file=list"]].concat();
        let output = link(fixture, through_relto, "ld.lld", &words);
        let release = fixture.release.major;
        assert_eq!(
            output.status.success(),
            succeeds,
            "LLVM {release}, {words:?}: {output:?}"
        );
        let list = fs::read_to_string(fixture.path("list")).expect("written");
        fs::remove_file(fixture.path("list")).expect("removed");
        list
    })
}

/// `CMake` has the linker write a list of what the program depends on.
#[test]
fn the_list_of_dependencies_is_the_linkers_own() {
    for release in Release::installed() {
        let fixture = fixture(&release);
        fs::create_dir(fixture.path("dir $#")).expect("created");
        fixture.compile("dir $#/a b.c", "int ab = 1;\n", &["-flto=thin"]);
        fixture.compile("native.c", "int native = 1;\n", &[]);
        fixture.compile("asks.c", ASKS, &[]);
        fixture.archive("rcs", "libasked.a", &["native.o"]);
        fixture.archive("rcs", "libmixed.a", &["h.o", "i.o", "native.o"]);
        fixture.write("libscript.so", "INPUT(native.o AS_NEEDED(libh.a))\n");
        fixture.write("place.t", "SECTIONS { .text : { *(.text .text.*) } }\n");
        fixture.write("ab", "{ main; };\n");
        for words in [
            &["libh.a"][..],
            &[
                "./libmixed.a",
                "dir $#//../dir $#/./a b.o",
                "asks.o",
                "libh.a",
                "./libh.a",
                "-L.",
            ],
            &[
                "-L.",
                "-lscript",
                "-T",
                "place.t",
                "--dynamic-list",
                "ab",
                "--symbol-ordering-file=order",
            ],
            &[
                "--whole-archive",
                "libmixed.a",
                "--no-whole-archive",
                "--start-lib",
                "./asks.o",
                "--end-lib",
                "-lasked",
                "-L.",
            ],
            // A symbol is missing.
            &["native.o"],
        ] {
            let base = ["-e", "main", "-o", "app", "main.o", "f.o", "g.o"];
            let [ours, theirs] = lists(&fixture, &[&base, words].concat(), words != ["native.o"]);
            assert_eq!(ours, theirs, "LLVM {}, {words:?}", release.major);
        }
    }
}

#[test]
fn a_list_of_dependencies_that_is_no_file_is_the_linkers_to_write() {
    let fixture = fixture(&Release::under_test());
    for (list, said) in [
        ("none/list", "cannot open none/list"),
        ("-", "the list of dependencies `-` is no file"),
        (
            "/dev/null",
            "the list of dependencies `/dev/null` is no file",
        ),
    ] {
        let base = ["-e", "main", "-o", "app", "main.o", "f.o", "g.o", "libh.a"];
        let list = format!("--dependency-file={list}");
        let output = link(&fixture, true, "ld.lld", &[&base[..], &[&list]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(said),
            "{stderr}"
        );
    }
}
