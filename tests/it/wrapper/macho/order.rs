//! The order of sections and symbols in programs for Apple's platforms.

use fs_err as fs;

use super::Apple;

/// A function of which code generators make a call of `memset` or `bzero`.
const ZERO: &str =
    "void zero(char *p, unsigned long n) { for (unsigned long i = 0; i < n; i++) p[i] = 0; }\n";

/// `main` and `f` are modules, `g` and `h` native; each needs the next.
fn chain() -> impl Iterator<Item = Apple> {
    Apple::each().inspect(|apple| {
        apple.module(
            "main.c",
            "int f(int), last(int); static int a; __attribute__((noinline)) static int own(int x) { __asm__(\"\"); return x * a++; }\n\
             int zz(int x) { return own(x) + own(x + 1); } int main(int c, char **v) { return f(c) + last(c) + zz(c); }\n",
        );
        apple.module("f.c", "int g(int), zz(int); int f2(int x) { return g(x); } int f(int x) { return g(x) * 3 + zz(x); }\n");
        apple.compile("g.c", "int h(int); int g3(int x) { return x; } int g(int x) { return h(x); } int g2;\n", &[]);
        apple.compile("h.c", "int h3(int x) { return x; } int h(int x) { return x * 11; } int h2;\n", &[]);
        apple.compile("last.c", "int last(int x) { return x * 5; }\n", &[]);
        apple.fixture.archive("rcs", "lib.a", &["h.o", "g.o", "f.o", "main.o"]);
        apple.fixture.archive("rcs", "libn.a", &["h.o", "g.o"]);
    })
}

#[test]
fn an_archive_that_has_main_is_read_from_there() {
    for apple in chain() {
        for words in [
            &["lib.a", "last.o"][..],
            &["last.o", "lib.a", "-Wl,-dead_strip"],
            &["libn.a", "last.o", "f.o", "main.o"],
            &["lib.a", "last.o", "-Wl,-e,_f"],
        ] {
            apple.same("clang", words, 2);
        }
        let words = ["lib.a", "last.o", "-dynamiclib", "-Wl,-exported_symbol,_zz"];
        apple.same("clang", &words, 2);
    }
}

/// Nobody would find a scratch directory afterwards.
#[test]
fn a_map_names_objects_as_the_linker_does() {
    for apple in chain() {
        for (option, name) in [
            ("-Wl,-dead_strip", "] /tmp/lto.tmp\n"),
            ("-Wl,-object_path_lto,kept", "] kept/1."),
        ] {
            let words = ["main.o", "f.o", "libn.a", "last.o", "-Wl,-map,map", option];
            let output = apple.ours("clang", &words);
            assert!(output.status.success(), "{output:?}");
            let map = fs::read_to_string(apple.fixture.path("map")).expect("a map");
            assert!(
                map.contains(name) && map.contains("] libn.a(g.o)\n"),
                "{map}"
            );
            assert!(!map.contains("/o/000000"), "{map}");
        }
    }
}

#[test]
fn an_object_that_may_not_be_needed_has_its_place_where_it_is_named() {
    for apple in chain() {
        let lazy = |names: &[&'static str]| {
            let ends = [&["-Wl,--start-lib"][..], names, &["-Wl,--end-lib"]];
            ends.concat()
        };
        for words in [
            [&lazy(&["h.o", "g.o"])[..], &["last.o", "f.o", "main.o"]].concat(),
            [&["main.o"], &lazy(&["last.o", "h.o", "g.o", "f.o"])[..]].concat(),
            [
                &lazy(&["last.o", "h.o", "f.o", "g.o", "main.o"])[..],
                &["-Wl,-dead_strip"],
            ]
            .concat(),
        ] {
            apple.same("clang", &words, 2);
        }
    }
}

#[test]
fn all_load_counts_more_than_start_lib() {
    for apple in chain() {
        apple.module("more.c", "int more(int x) { return x + 5; }\n");
        let words = [
            "-Wl,-all_load",
            "-Wl,--start-lib",
            "libn.a",
            "more.o",
            "f.o",
            "last.o",
            "-Wl,--end-lib",
            "main.o",
        ];
        apple.same("clang", &words, 3);
    }
}

#[test]
fn symbols_of_libraries_have_the_numbers_that_each_library_gave_them() {
    for apple in chain() {
        apple.module("zero.c", ZERO);
        apple.module("puts.c", "int puts(const char *); int gone(void); void zero(char *, unsigned long); struct S { char b[4096]; } from, to;\n\
            int last(int x) { to = from; zero(to.b, x); return puts(\"x\") + gone(); }\n");
        for words in [
            [
                "main.o", "-lSystem", "puts.o", "zero.o", "f.o", "libn.a", "-lgone",
            ],
            [
                "main.o", "puts.o", "libn.a", "-lgone", "-lSystem", "zero.o", "f.o",
            ],
        ] {
            apple.same("clang", &words, 4);
        }
    }
}

/// The linker's own LTO then has other programs see the native one.
#[test]
fn a_hidden_inline_function_that_a_module_shows_is_left_to_ld64() {
    const WEAK: &str = "__attribute__((weak)) int w(int x) { return x + 1; }";
    for apple in chain() {
        let native = format!("{WEAK}\nint last(int x) {{ return w(x); }}\n");
        apple.compile("last.c", &native, &["-fvisibility=hidden"]);
        apple.module(
            "w.c",
            &format!("{WEAK}\nint u(int x) {{ return w(x) * 2; }}\n"),
        );
        let words = ["last.o", "main.o", "w.o", "f.o", "libn.a", "-dynamiclib"];
        apple.alone(
            "clang",
            &words,
            "the weak symbol `_w` is in a native file and in a module",
        );
    }
}
