//! Every installed release, against its own LTO and, where there is one, against DTLTO.

use fs_err as fs;

use crate::support::llvm::run;
use crate::support::program::cxx_of;
use crate::support::skip::runs_long;
use crate::support::wrapped::{Release, WrapperDir};

const MAIN: &str = "#include <stdio.h>\nint f(int); int g(int); int h(int);\n\
    __attribute__((constructor)) static void first(void) { puts(\"main\"); }\n\
    int main(int argc, char **argv) { printf(\"%d\\n\", f(argc) + g(argc) + h(argc)); return 0; }\n";
const F: &str = "#include <stdio.h>\nint twice(int);\n\
    __attribute__((constructor)) static void first(void) { puts(\"f\"); }\n\
    int f(int x) { return twice(x) * 3; }\n";
const G: &str = "int g(int x) { return x + 7; }\nint twice(int x) { return x ^ 5; }\n";
const NATIVE: &str = "#include <stdio.h>\n\
    __attribute__((constructor)) static void first(void) { puts(\"native\"); }\n\
    int h(int x) { return x * 11; }\n";
const UNUSED: &str = "int lonely(int x) { return x; }\n";

/// What the program prints.
const OUTPUT: &str = "31\n";

fn workshop(release: &Release) -> WrapperDir {
    let fixture = WrapperDir::new(release);
    for (name, text) in [
        ("main.c", MAIN),
        ("f.c", F),
        ("g.c", G),
        ("unused.c", UNUSED),
    ] {
        fixture.module(name, text);
    }
    fixture.compile("native.c", NATIVE, &[]);
    fixture.archive("rcs", "libe.a", &["f.o", "native.o", "unused.o"]);
    fixture.archive("rcsT", "libt.a", &["g.o", "unused.o"]);
    fixture
}

const INPUTS: [&str; 3] = ["main.o", "libe.a", "libt.a"];

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&INPUTS[..], words].concat()
}

#[test]
fn a_program_is_the_linkers_own_byte_by_byte() {
    for release in Release::installed() {
        let fixture = workshop(&release);
        fixture.write("versions", "{ global: f; g; h; local: *; };\n");
        for words in [
            &[][..],
            &["-no-pie"],
            &["-shared", "-fPIC"],
            &["-shared", "-Wl,--version-script=versions"],
            &["-O3"],
            &["-Wl,--gc-sections,--icf=all"],
            &["-Wl,-z,now,--export-dynamic"],
            &["-Wl,--exclude-libs=libe.a", "-shared"],
            &["-s"],
        ] {
            fixture.same("clang", &with(words), 3);
            if !words.contains(&"-shared") {
                assert!(fixture.run_app().ends_with(OUTPUT), "{words:?}");
            }
        }
    }
}

#[test]
fn a_static_program_runs_as_the_linkers_own_does() {
    for release in Release::installed() {
        let fixture = workshop(&release);
        let words = with(&["-static"]);
        let theirs = fixture.plain("clang", &words);
        let output = fixture.wrapped("clang", &words);
        assert_eq!(fixture.counts(&output, &words).jobs, 3);
        let ours = fs::read(fixture.path("app")).expect("linked");
        assert_eq!(ours.len(), theirs.len());
        assert!(fixture.run_app().ends_with(OUTPUT));
    }
}

/// DTLTO calls a member of a thin archive by its file's name, the linker's own LTO by the
/// archive's. A backend imports in the order of names, so results are shared where both sort alike.
#[test]
fn dtlto_links_the_same_program_from_the_same_results() {
    for release in Release::installed().into_iter().filter(|it| it.major >= 22) {
        let fixture = workshop(&release);
        fixture.module("libt-g.c", G);
        fs::remove_file(fixture.path("libt.a")).expect("removed");
        fixture.archive("rcsT", "libt.a", &["libt-g.o", "unused.o"]);
        let distributor = format!("-fthinlto-distributor={}", env!("CARGO_BIN_EXE_relto"));
        for words in [&[][..], &["-shared", "-fPIC"], &["-O3"]] {
            let mut dtlto = fixture.command("clang");
            dtlto.args([
                "-flto=thin",
                "-O2",
                "-fuse-ld=lld",
                "-o",
                "app",
                &distributor,
            ]);
            run(dtlto.args(with(words)));
            let theirs = fs::read(fixture.path("app")).expect("linked");
            let output = fixture.wrapped("clang", &with(words));
            let counts = fixture.counts(&output, words);
            assert!(
                fs::read(fixture.path("app")).expect("linked") == theirs,
                "{words:?}"
            );
            assert_eq!(counts.cached, counts.jobs, "{words:?}: results are shared");
        }
    }
}

#[test]
fn relinks_are_cached_elsewhere_and_from_other_archives() {
    for release in Release::installed() {
        let first = workshop(&release);
        assert_eq!(first.same("clang", &INPUTS, 3).local, 3);
        let mut second = workshop(&release);
        second.home = first.home;
        let counts = second.same("clang", &INPUTS, 3);
        assert_eq!(
            counts.cached, 3,
            "LLVM {}: in another directory",
            release.major
        );
        second.archive("rcs", "liball.a", &["unused.o", "f.o", "native.o", "g.o"]);
        let counts = second.same("clang", &["main.o", "liball.a"], 3);
        assert_eq!(
            counts.cached, 3,
            "LLVM {}: of another archive",
            release.major
        );
        second.module("g.c", &G.replace('7', "8"));
        second.archive("rcs", "liball.a", &["unused.o", "f.o", "native.o", "g.o"]);
        let counts = second.same("clang", &["main.o", "liball.a"], 3);
        assert!(counts.local >= 1, "an edit is compiled");
    }
}

/// 61 modules of one program have more to say about ids and orders than three.
#[test]
fn a_large_program_is_the_linkers_own_and_cached_elsewhere() {
    const MODULES: usize = 60;
    for release in Release::installed() {
        let shops = [(); 2].map(|()| {
            let fixture = WrapperDir::new(&release);
            let mut names = Vec::new();
            for number in 0..MODULES {
                let next = (number + 1) % MODULES;
                let text = format!(
                    "#include <vector>\n#include <string>\nint f{next}(int);\n\
                     struct S{number} {{ virtual int g(int x) {{ return x + {number}; }} }};\n\
                     int f{number}(int x) {{ std::vector<std::string> v(x % 3 + 1, \"{number}\"); S{number} s;\n\
                     return x <= 0 ? s.g(x) : f{next}(x - 1) + (int)v.back().size(); }}\n"
                );
                fixture.write(&format!("m{number}.cc"), &text);
                names.push(format!("m{number}"));
            }
            fixture.write("main.cc", "int f0(int); int main(int c, char **) { return f0(c + 70) & 1; }\n");
            names.push("main".to_owned());
            let script = "for m; do \"$CXX\" -O2 -flto=thin -c $m.cc -o $m.o || exit 1; done";
            let mut shell = std::process::Command::new("sh");
            shell.current_dir(fixture.dir()).env("CXX", release.tool("clang++"));
            run(shell.args(["-c", script, "sh"]).args(&names));
            let members: Vec<String> = names.iter().map(|name| format!("{name}.o")).collect();
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            fixture.archive("rcs", "liball.a", &members);
            fixture
        });
        let [first, mut second] = shops;
        let words = ["liball.a"];
        let counts = first.same("clang++", &words, MODULES + 1);
        assert_eq!(counts.cached, 0);
        second.home = first.home;
        let counts = second.same("clang++", &words, MODULES + 1);
        assert_eq!(counts.cached, MODULES + 1, "LLVM {}", release.major);
    }
}

/// Crypto++ and its test vectors.
#[test]
fn a_real_program_of_158_modules_is_the_linkers_own_and_cached_elsewhere() {
    if !runs_long() {
        return;
    }
    for release in Release::installed() {
        let program = cxx_of(&release);
        let names = program.modules.iter().map(|path| path.file_name());
        let names = names.map(|name| name.and_then(|it| it.to_str()).expect("a name"));
        let words: Vec<&str> = names.collect();
        assert_eq!(words.len(), 158);
        let shops = [(); 2].map(|()| {
            let fixture = WrapperDir::new(&release);
            for (module, name) in program.modules.iter().zip(&words) {
                fs::copy(module, fixture.path(name)).expect("copied");
            }
            fixture
        });
        let [first, mut second] = shops;
        let counts = first.same(program.driver, &words, words.len());
        assert_eq!(counts.cached, 0);
        let app = first.path("app");
        program.check(&app);
        let app = fs::read(app).expect("linked");
        second.home = first.home;
        let output = second.wrapped(program.driver, &words);
        let counts = second.counts(&output, &words);
        assert_eq!(counts.cached, words.len(), "LLVM {}", release.major);
        assert!(fs::read(second.path("app")).expect("linked") == app);
    }
}
