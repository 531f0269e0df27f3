//! What does not matter to a backend keeps `relto cc` from no result, and from no action.

use std::process::{Command, Output};

use fs_err as fs;

use crate::support::backends::{Backends, ONCE, same};
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::program::{Feature, feature};

const CACHED: Counts = Counts {
    jobs: 2,
    cached: 2,
    remote: 0,
    local: 0,
    in_place: 0,
};

const BACKEND: &str = "-O2 -g -x ir -c -fthinlto-index=main.o.thinlto.bc main.o -o o.o";

fn plain() -> Backends {
    Backends::new(&feature(Feature::Debug))
}

fn same_objects(backends: &Backends, home: &Home, line: &str) -> Counts {
    let line = format!("{BACKEND} {line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    same(backends, home, &words, &["o.o"])
}

#[test]
fn directories_that_only_a_front_end_writes_do_not_count() {
    let (backends, home) = (plain(), Home::new());
    assert_eq!(same_objects(&backends, &home, ""), ONCE);
    for words in [
        "-fdebug-prefix-map=/one=.",
        "-ffile-prefix-map=/one=. -fdebug-prefix-map=/two=.",
        "-fdebug-compilation-dir=/one",
        "-fdebug-compilation-dir /one",
        "-ffile-compilation-dir=/one -fcoverage-compilation-dir=/two",
        "-fcrash-diagnostics-dir=/one",
    ] {
        assert_eq!(same_objects(&backends, &home, words), CACHED, "{words}");
    }
}

#[test]
fn names_with_directories_that_a_backend_does_not_use_keep_it_from_no_action() {
    let (backends, home) = (plain(), Home::new());
    for words in [
        "-frandom-seed=dir/o.o -Qunused-arguments",
        "--prefix=/usr/bin -Qunused-arguments",
        "--system-header-prefix=boost/ -Qunused-arguments",
        "-mllvm -crash-diagnostics-dir=/tmp/crashes",
    ] {
        assert_eq!(same_objects(&backends, &home, words), ONCE, "{words}");
    }
}

/// Its list of exceptions, which clang misses, is the front end's alone.
#[test]
fn control_flow_integrity_does_not_keep_a_backend_from_its_action() {
    let (backends, home) = (plain(), Home::new());
    let words = "-flto=thin -fvisibility=hidden -fsanitize=cfi-icall,cfi-vcall";
    assert_eq!(same_objects(&backends, &home, words), ONCE);
}

/// What the files of clang's packagers say: names of other files, of their own directory, and words for
/// links, of none of which clang says that it does not use them.
#[test]
fn configuration_files_are_taken_into_the_action() {
    let (backends, home) = (plain(), Home::new());
    let dir = backends.path("etc");
    fs::create_dir_all(dir.join("more")).expect("made");
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("written");
    write(
        "main.cfg",
        "# packager@example.org\n@more/common.cfg\n@<CFGDIR>/links.cfg\n",
    );
    write("more/common.cfg", "-ffunction-sections \\\n@beside.cfg\n");
    write("more/beside.cfg", "-fdata-sections --sysroot=<CFGDIR>/..\n");
    write(
        "links.cfg",
        "-L<CFGDIR>/lib $-Wl,--as-needed $-lomp -stdlib=libc++ -rtlib=compiler-rt -fuse-ld=lld -Wl,-z,now\n",
    );
    let config = "--config=./etc/main.cfg";
    assert_eq!(same_objects(&backends, &home, ""), ONCE);
    assert_eq!(same_objects(&backends, &home, config), ONCE, "other words");
    assert_eq!(same_objects(&backends, &home, config), CACHED);
    let strict = format!("{config} -Werror");
    assert_eq!(same_objects(&backends, &home, &strict), ONCE);

    let said = |command: &mut Command| -> Output {
        let words = format!("{BACKEND} {config}");
        let output = command
            .current_dir(backends.dir())
            .env("RELTO_LOG", "error")
            .args(words.split(' '))
            .output();
        output.expect("it starts")
    };
    let clang = said(&mut Command::new(backends.compiler()));
    let relto = said(&mut backends.relto(&home));
    assert_eq!(relto.stderr, clang.stderr);
}

/// Nothing in the files names an index, so nothing is guarded.
#[test]
fn a_header_is_precompiled_whatever_its_configuration_file_looks_like() {
    let (backends, home) = (plain(), Home::new());
    fs::write(backends.path("p.h"), "int x;\n").expect("written");
    fs::write(backends.path("more"), "-O2\n").expect("written");
    for text in ["# packager@example.org\n-O2\n", "@more\n"] {
        fs::write(backends.path("d.cfg"), text).expect("written");
        let words = "--config=./d.cfg --target=x86_64-linux-gnu -x c-header -Xclang -emit-pch -o p.pch -c p.h";
        let output = backends.relto(&home).args(words.split(' ')).output();
        let output = output.expect("relto starts");
        assert!(output.status.success(), "{text}: {output:?}");
        assert_eq!(output.stderr, b"", "{text}");
        fs::remove_file(backends.path("p.pch")).expect("it was made");
    }
}
