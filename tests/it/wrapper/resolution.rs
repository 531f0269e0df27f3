//! Which definition wins, and what is linked because of it, compared with the linker's own LTO.

use crate::support::llvm::run;
use crate::support::wrapped::{Release, WrapperDir};

fn each() -> impl Iterator<Item = WrapperDir> {
    Release::installed()
        .into_iter()
        .map(|release| WrapperDir::new(&release))
}

/// The native file comes later, so the module's copy wins in the linker's own LTO; by its place in
/// the final link the native one would.
#[test]
fn an_inline_function_is_the_modules_where_that_came_first() {
    const INLINE: &str = "#include <cstdio>\n\
        template <int N> __attribute__((noinline)) int shared() { static int n; std::puts(WHO); return ++n; }\n\
        struct S { S(); int x; }; __attribute__((noinline)) inline S::S() : x(shared<7>()) {}\n";
    let module = format!(
        "#define WHO \"module\"\n{INLINE}int native(); int main() {{ S s; return s.x + native() - 3; }}\n"
    );
    let native = format!("#define WHO \"native\"\n{INLINE}int native() {{ S s; return s.x; }}\n");
    for fixture in each() {
        fixture.module("main.cc", &module);
        fixture.compile("native.cc", &native, &[]);
        fixture.same("clang++", &["main.o", "native.o"], 1);
        assert_eq!(fixture.run_app(), "module\nmodule\n");
        fixture.same("clang++", &["native.o", "main.o"], 1);
    }
}

#[test]
fn a_weak_function_is_the_first_one() {
    for fixture in each() {
        fixture.module("main.c", "__attribute__((weak)) int who(void) { return 0; }\nint other(void);\nint main(void) { return who() + other(); }\n");
        fixture.compile("native.c", "__attribute__((weak)) int who(void) { return 1; }\nint other(void) { return who(); }\n", &[]);
        fixture.same("clang", &["main.o", "native.o"], 1);
        fixture.run_app();
        fixture.same("clang", &["native.o", "main.o"], 1);
    }
}

#[test]
fn the_first_of_several_definitions_counts_where_they_are_allowed() {
    for fixture in each() {
        fixture.module("main.c", "#include <stdio.h>\nextern int v; int f(void); int g(void);\nint main(void) { printf(\"%d %d %d\\n\", v, f(), g()); return 0; }\n");
        for number in [1, 2] {
            let text = format!(
                "int v = {number}; __attribute__((noinline)) int f(void) {{ __asm__(\"\"); return {number}; }}\n"
            );
            fixture.module(&format!("m{number}.c"), &text);
        }
        fixture.compile(
            "n.c",
            "int v = 3; __attribute__((noinline)) int f(void) { __asm__(\"\"); return 3; }\nint g(void) { return v * 10 + f(); }\n",
            &[],
        );
        // The native file calls its own function directly.
        for (order, printed) in [
            (["m1.o", "m2.o", "n.o"], Some("1 1 13\n")),
            (["m2.o", "n.o", "m1.o"], Some("2 2 23\n")),
            // The linker's own LTO has the module's value of `v` in `main` even so.
            (["n.o", "m1.o", "m2.o"], None),
        ] {
            for option in ["-Wl,--allow-multiple-definition", "-Wl,-z,muldefs"] {
                let words = [&["main.o", option][..], &order].concat();
                fixture.same("clang", &words, 3);
                let ours = fixture.run_app();
                assert!(
                    printed.is_none_or(|printed| ours == printed),
                    "{words:?}: {ours}"
                );
            }
        }
        let words = [
            "main.o",
            "m1.o",
            "n.o",
            "-Wl,--allow-multiple-definition,--no-allow-multiple-definition",
        ];
        let output = fixture.wrapped("clang", &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("duplicate symbol: "),
            "{said}"
        );
    }
}

#[test]
fn equal_functions_are_folded_where_no_address_is_compared() {
    for fixture in each() {
        let function = |name: &str| {
            format!(
                "__attribute__((noinline)) int {name}(int x) {{ __asm__(\"\"); return x * 3 + 7; }}\n"
            )
        };
        fixture.module(
            "main.c",
            "int f(int); int g(int); int h(int); int i(int); int (*p)(int) = h;\n\
            int main(int c, char **v) { return f(c) + g(c) + p(c) + i(c) - 40; }\n",
        );
        for name in ["f", "g", "h"] {
            fixture.module(&format!("{name}.c"), &function(name));
        }
        fixture.compile("i.c", &function("i"), &["-ffunction-sections", "-faddrsig"]);
        for option in [
            "-Wl,--icf=safe",
            "-Wl,--icf=all",
            "-Wl,--icf=all,--keep-unique=g",
        ] {
            fixture.same("clang", &["main.o", "f.o", "g.o", "h.o", "i.o", option], 4);
            fixture.run_app();
        }
    }
}

/// Optimization removes the call, but the linker has loaded the member by then.
#[test]
fn native_members_and_libraries_that_only_bitcode_asked_for_are_there() {
    for fixture in each() {
        fixture.module("main.c", "int gone(void); int lib(void); int never(void);\nint main(void) { if (never()) return gone() + lib(); return 0; }\n");
        fixture.module("never.c", "int never(void) { return 0; }\n");
        fixture.compile("gone.c", "#include <stdio.h>\nint gone(void) { return 1; }\n__attribute__((constructor)) static void c(void) { puts(\"gone\"); }\n", &[]);
        fixture.compile("lib.c", "int lib(void) { return 1; }\n", &["-fPIC"]);
        run(fixture
            .command("clang")
            .args(["-shared", "lib.o", "-o", "liblib.so"]));
        fixture.archive("rcs", "libgone.a", &["gone.o"]);
        for state in ["-Wl,--as-needed", "-Wl,--no-as-needed"] {
            let words = [
                "main.o",
                "never.o",
                "libgone.a",
                state,
                "-L.",
                "-llib",
                "-Wl,-rpath,$ORIGIN",
            ];
            fixture.same("clang", &words, 2);
            assert_eq!(fixture.run_app(), "gone\n");
        }
    }
}

#[test]
fn wrapped_and_defined_symbols_mean_what_they_mean_to_the_linker() {
    for fixture in each() {
        fixture.module(
            "main.c",
            "int f(void); int alias(void); int main(void) { return f() + alias() - 21; }\n",
        );
        fixture.module(
            "f.c",
            "int f(void) { return 1; }\nint target(void) { return 9; }\n",
        );
        fixture.module(
            "wrap.c",
            "int __real_f(void);\nint __wrap_f(void) { return __real_f() + 11; }\n",
        );
        fixture.same(
            "clang",
            &[
                "main.o",
                "f.o",
                "wrap.o",
                "-Wl,--wrap=f",
                "-Wl,--defsym=alias=target",
                // The linker's own LTO leaves `f` weak in the symbol table.
                "-s",
            ],
            3,
        );
        fixture.run_app();
    }
}

/// Its object has the symbol weak, so the final link would not miss the replacement.
#[test]
fn a_wrapped_symbol_without_a_replacement_is_as_undefined_as_to_the_linker() {
    for fixture in each() {
        fixture.module("main.c", "int f(void); int main(void) { return f(); }\n");
        fixture.module("f.c", "int f(void) { return 1; }\n");
        fixture.module("wrap.c", "int __wrap_f(void) { return 0; }\n");
        let output = fixture.wrapped("clang", &["main.o", "f.o", "-Wl,--wrap=f"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("undefined symbol: __wrap_f"), "{said}");
        fixture.archive("rcs", "libwrap.a", &["wrap.o"]);
        let words = ["main.o", "f.o", "libwrap.a", "-Wl,--wrap=f", "-s"];
        fixture.same("clang", &words, 3);
        fixture.run_app();
    }
}

#[test]
fn versions_aliases_and_thread_locals_stay_as_they_are() {
    for fixture in each() {
        let pic = ["-flto=thin", "-fPIC"];
        fixture.compile("a.c", "__thread int t = 4; extern __thread int u;\nint old(void) { return t; }\nint new(void) { return u; }\n\
            __asm__(\".symver old, api@V1\");\n__asm__(\".symver new, api@@V2\");\n\
            int real(void) { return 3; }\nint also(void) __attribute__((alias(\"real\")));\n", &pic);
        fixture.compile(
            "u.c",
            "__thread int u = 6; extern __thread int t; int sum(void) { return t + u; }\n",
            &["-fPIC"],
        );
        fixture.write(
            "versions",
            "V1 { global: api; local: old; }; V2 { global: api; real; also; sum; local: *; } V1;\n",
        );
        let words = ["-shared", "a.o", "u.o", "-Wl,--version-script=versions"];
        let exported = || {
            let text = run(fixture.command("llvm-nm").args(["-D", "app"]));
            let names = text.lines().filter_map(|line| line.rsplit(' ').next());
            let mut names: Vec<_> = names.map(str::to_owned).collect();
            names.sort();
            names
        };
        let theirs = fixture.plain("clang", &words);
        fs_err::write(fixture.path("app"), theirs).expect("written");
        let theirs = exported();
        let output = fixture.wrapped("clang", &words);
        assert_eq!(fixture.counts(&output, &words).jobs, 1);
        assert_eq!(exported(), theirs);
    }
}

/// `memcpy` is in no symbol table before code is generated.
#[test]
fn calls_that_only_the_code_generator_makes_find_their_functions() {
    for fixture in each() {
        fixture.module("main.c", "struct S { char b[4096]; }; struct S from, to;\nvoid _start(void) { to = from; for (;;) {} }\n");
        fixture.compile("mem.c", "void *memcpy(void *d, const void *s, unsigned long n) { char *t = d; const char *f = s; while (n--) { __asm__(\"\"); *t++ = *f++; } return d; }\n", &["-fno-builtin"]);
        fixture.archive("rcs", "libmem.a", &["mem.o"]);
        fixture.same("clang", &["-nostdlib", "-static", "main.o", "libmem.a"], 1);
        fixture.module("mem.c", "void *memcpy(void *d, const void *s, unsigned long n) { char *t = d; const char *f = s; while (n--) { __asm__(\"\"); *t++ = *f++; } return d; }\n");
        fixture.archive("rcs", "libmem2.a", &["mem.o"]);
        fixture.same("clang", &["-nostdlib", "-static", "main.o", "libmem2.a"], 2);
    }
}

/// The linker defines them if anything named them before LTO.
#[test]
fn symbols_of_the_linker_are_there_where_optimization_removed_their_uses() {
    for fixture in each() {
        fixture.module("main.c", "extern int __start_own[], __stop_own[], __start_none[] __attribute__((weak)), __start_other[];\n\
            int never(void); int main(void) { return never() ? (int)(__start_own - __start_none) + (int)(__stop_own - __start_other) : 0; }\n");
        fixture.module(
            "never.c",
            "int never(void) { return 0; }\n__attribute__((section(\"own\"), used)) int x = 3;\n",
        );
        fixture.compile(
            "other.c",
            "__attribute__((section(\"other\"))) int y = 3;\n",
            &["-fPIC"],
        );
        for option in [
            "-pie",
            "-shared",
            "-Wl,--gc-sections",
            "-Wl,-z,start-stop-visibility=default",
        ] {
            fixture.same("clang", &["main.o", "never.o", "other.o", option], 2);
        }
    }
}

/// No file defines `__dso_handle`, which is hidden: the linker does.
#[test]
fn a_hidden_symbol_of_the_linker_has_its_place_in_the_table() {
    for fixture in each() {
        let flags = ["-flto=thin", "-fPIC"];
        let class = "struct A { A(); ~A(); int x; };";
        let main = format!("{class} A a; int f(int); int m(int c) {{ return f(c); }}\n");
        fixture.compile("main.cc", &main, &flags);
        let other =
            format!("{class} A::A() {{ x = 3; }} A::~A() {{}} int f(int x) {{ return x; }}\n");
        fixture.compile("f.cc", &other, &flags);
        for kind in [
            &["-shared"][..],
            &[
                "-pie",
                "-Wl,-e,_Z1mi",
                "-Wl,--unresolved-symbols=ignore-all",
            ],
        ] {
            let words = [&["-nostdlib", "main.o", "f.o"][..], kind].concat();
            fixture.same("clang++", &words, 2);
        }
    }
}

/// What scripts and options define comes before what LTO makes visible to other modules.
#[test]
fn symbols_of_scripts_and_of_the_linker_have_its_order_and_need_no_use() {
    const MAIN: &str = "extern char _end[], __ehdr_start[], may[], etext[], __bss_start[], __init_array_start[], _GLOBAL_OFFSET_TABLE_[];\n\
        int never(void); int f(int);\n\
        int main(int c, char **v) { return never() ? (int)(_end - may) + (int)(__ehdr_start - etext) + (int)(__bss_start - __init_array_start) + (int)(long)_GLOBAL_OFFSET_TABLE_ : f(c); }\n";
    const F: &str = "int never(void) { return 0; }\nstatic int s = 3; static __attribute__((noinline)) int l(int x) { __asm__(\"\"); return x + s++; }\n\
        int f(int x) { return l(x) + l(x + 1); }\n";
    for fixture in each() {
        for (name, text) in [("main.c", MAIN), ("f.c", F)] {
            fixture.compile(name, text, &["-flto=thin", "-fPIC"]);
        }
        fixture.write(
            "some.lds",
            "PROVIDE(may = 0x1234); PROVIDE(nobody = 0x1234); always = 0x44;\n",
        );
        fixture.write("all.lds", "SECTIONS { . = 0x10000 + SIZEOF_HEADERS; .text : { stext = .; *(.text .text.*) PROVIDE(etext = .); } PROVIDE(may = .);\n\
            .data : { *(.data .data.*) } edata2 = .; .bss : { *(.bss) } _end = .; __bss_start = 3; }\n");
        for words in [
            &["-Wl,--defsym=may=0x1"][..],
            &["-pie", "-Wl,--defsym=may=0x1,--defsym=extra=f"],
            &["-shared", "some.lds"],
            &["some.lds", "-Wl,--gc-sections"],
            &["-Wl,-T,all.lds"],
            &["-pie", "-Wl,-T,all.lds,--defsym=last=_end"],
            &["-Wl,--defsym=may=1,--defsym=used=_edata+4"],
            &["-static", "-Wl,--defsym=may=f,--defsym=twice=may"],
            &["-r", "-Wl,--defsym=may=f,--defsym=again=never"],
        ] {
            let base = ["-nostdlib", "-Wl,-e,main", "main.o", "f.o"];
            fixture.same("clang", &[&base, words].concat(), 2);
        }
    }
}

/// Modules for it name `_GLOBAL_OFFSET_TABLE_`, whatever they hold.
#[test]
fn a_program_for_32_bits_of_x86_has_the_linkers_table_of_addresses() {
    for fixture in each() {
        let target = ["--target=i386-linux-gnu", "-fno-pic"];
        let thin = [&target[..], &["-flto=thin"]].concat();
        let main = "extern int x; int f(int); int main(int c, char **v) { return f(c) + x; }\n";
        fixture.compile("main.c", main, &thin);
        fixture.compile("f.c", "int f(int x) { return x * 3; }\n", &thin);
        fixture.compile("x.c", "int x;\n", &target);
        let base = ["--target=i386-linux-gnu", "-nostdlib", "-Wl,-e,main"];
        let words = [&base[..], &["main.o", "f.o", "x.o"]].concat();
        for option in ["-static", "-no-pie"] {
            fixture.same("clang", &[&words[..], &[option]].concat(), 2);
        }
    }
}

/// LTO drops the module's copy, but not what it says of the symbol.
#[test]
fn a_symbol_is_as_hidden_as_the_module_says_that_lost_it() {
    let hidden = "__attribute__((weak, visibility(\"hidden\")))";
    for fixture in each() {
        let native = "__attribute__((weak)) int w(int x) { return x + 1; }\nint n(int x) { return w(x); }\nint lone(void) { return 5; }\n";
        fixture.compile("native.c", native, &["-fPIC"]);
        let main = format!(
            "{hidden} int w(int x) {{ return x + 2; }}\n__attribute__((visibility(\"protected\"))) int lone(void);\n\
             __attribute__((visibility(\"hidden\"))) int unused(int x) {{ return w(x) + lone(); }}\n\
             int n(int); int main(void) {{ return n(2); }}\n"
        );
        fixture.compile("main.c", &main, &["-flto=thin", "-fPIC"]);
        for option in ["-pie", "-shared", "-no-pie"] {
            fixture.same("clang", &["native.o", "main.o", option], 1);
        }
    }
}

/// LTO does not know what inline assembly calls. (That of LLVM 14 removes resolvers of ifuncs, too.)
#[test]
fn a_program_that_lacks_what_lto_removed_is_the_linkers() {
    for fixture in each() {
        let gone = "LTO removed the definition of `gone`, which is needed";
        fixture.compile(
            "main.c",
            "int main(void) { __asm__ volatile(\"call gone\"); return 0; }\n",
            &["-flto=thin", "-fPIC"],
        );
        fixture.compile("gone.c", "void gone(void) {}\n", &["-flto=thin", "-fPIC"]);
        fixture.write("versions", "{ global: main; local: *; };\n");
        let words = ["-shared", "-nostdlib", "main.o", "gone.o"];
        let words = [
            &words[..],
            &["-Wl,--version-script=versions,--noinhibit-exec"],
        ]
        .concat();
        fixture.alone("clang", &words, gone);
    }
}

/// Older linkers take all definitions of such an object before they need it.
#[test]
fn symbols_of_an_object_that_is_linked_by_need_have_the_linkers_order() {
    for fixture in each() {
        fixture.module("main.c", "int b(void); int main(void) { return b(); }\n");
        fixture.compile(
            "lazy.c",
            "int nowhere(void); int a(void) { return nowhere(); } int b(void) { return 0; } int c(void) { return other(); }\n",
            &["-Wno-implicit-function-declaration"],
        );
        let words = ["main.o", "-Wl,--start-lib", "lazy.o", "-Wl,--end-lib"];
        let words = [&words[..], &["-Wl,--unresolved-symbols=ignore-all"]].concat();
        fixture.same("clang", &words, 1);
    }
}

/// The linker's own LTO reads the objects one by one, and links what one asks for before it.
#[test]
fn members_that_only_an_object_asks_for_come_before_it() {
    const COPY: &str = "int count(void);\nvoid *memcpy(void *d, const void *s, unsigned long n) { char *t = d; const char *f = s; count(); while (n--) { __asm__(\"\"); *t++ = *f++; } return d; }\n";
    const SET: &str = "void *memset(void *d, int c, unsigned long n) { char *t = d; while (n--) { __asm__(\"\"); *t++ = c; } return d; }\n";
    // `pick` of the module is the one that everything else means.
    let modules = [
        (
            "main.c",
            "int a(void), b(void), native(void); int main(void) { return a() + b() + native() + 1; }\nvoid _start(void) { main(); for (;;) {} }\n",
        ),
        (
            "a.c",
            "char z[5000]; int a(void) { for (int i = 0; i < 5000; i++) z[i] = 0; return z[7]; }\n",
        ),
        (
            "b.c",
            "struct S { char b[4096]; } from, to; int pick(void) { return -1; }\nint b(void) { to = from; return to.b[3]; }\n",
        ),
    ];
    let natives = [
        ("copy.c", COPY),
        ("set.c", SET),
        ("count.c", "static int n; int count(void) { return ++n; }\n"),
        ("pick.c", "int pick(void) { return 1; }\n"),
        (
            "native.c",
            "int pick(void); int native(void) { return pick(); }\n",
        ),
    ];
    for fixture in each() {
        for (name, text) in modules {
            fixture.module(name, text);
        }
        for (name, text) in natives {
            fixture.compile(name, text, &["-fno-builtin", "-fPIC"]);
        }
        fixture.archive("rcs", "libmem.a", &["pick.o", "count.o", "copy.o", "set.o"]);
        fixture.archive("rcs", "libb.a", &["native.o", "b.o", "a.o"]);
        let lazy = [
            "-Wl,--start-lib",
            "set.o",
            "copy.o",
            "pick.o",
            "count.o",
            "-Wl,--end-lib",
        ];
        for words in [
            &["main.o", "a.o", "b.o", "native.o", "libmem.a"][..],
            &["b.o", "libmem.a", "native.o", "main.o", "a.o"],
            &["main.o", "libb.a", "libmem.a", "-Wl,--gc-sections"],
            &[&["main.o", "libb.a"][..], &lazy].concat(),
            &[
                "main.o",
                "libb.a",
                "libmem.a",
                "-Wl,--exclude-libs=ALL",
                "-shared",
            ],
        ] {
            let words = [&["-nostdlib", "-static"], words].concat();
            fixture.same("clang", &words, 3);
        }
    }
}

#[test]
fn a_native_standard_library_in_the_program_is_the_linkers_own() {
    for fixture in each() {
        fixture.module("main.cc", "#include <iostream>\n#include <map>\n#include <string>\n#include <sstream>\n\
            thread_local std::string t = \"t\";\n\
            int main() { std::map<std::string, int> m; m[\"b\"] = 2; m[\"a\"] = 1; std::stringstream s;\n\
            for (auto &p : m) s << p.first << p.second; try { throw std::string(\"x\"); } catch (std::string &e) { s << e; }\n\
            std::cout << s.str() << t << std::endl; return 0; }\n");
        fixture.same(
            "clang++",
            &["main.o", "-static-libstdc++", "-static-libgcc"],
            1,
        );
        assert_eq!(fixture.run_app(), "a1b2xt\n");
    }
}

/// No module names them, so their order is that of the libraries' own symbols. A library's needs
/// are symbols of their own, with their versions.
#[test]
fn functions_that_only_the_code_generator_calls_have_the_linkers_order() {
    const MAIN: &str = "#include <string>\nvoid z(char *); int g(const std::string &);\n\
        unsigned __int128 d(unsigned __int128, unsigned __int128); unsigned __int128 m(unsigned __int128, unsigned __int128);\n\
        int main(int c, char **v) { char b[4000]; for (int i = 0; i < 4000; i++) b[i] = 0; z(b);\n\
        std::string s(v[0]); s += \"x\"; return (g(s) + b[5] + (int)d(c, 3) + (int)m(c, 5)) & 0; }\n";
    const MORE: &str = "#include <string>\nstruct D { ~D(); }; D::~D() {} void may(int);\n\
        void z(char *p) { for (int i = 0; i < 4000; i++) p[i] += i; for (int i = 0; i < 3000; i++) p[i] = p[i + 100]; }\n\
        int g(const std::string &s) { D d; may(s.size()); return s.size(); }\n\
        void may(int x) { if (x == 77777) throw 3; }\n\
        unsigned __int128 d(unsigned __int128 a, unsigned __int128 b) { return a / b; }\n\
        unsigned __int128 m(unsigned __int128 a, unsigned __int128 b) { return a % b; }\n";
    for fixture in each() {
        fixture.module("main.cc", MAIN);
        fixture.module("more.cc", MORE);
        fixture.same("clang++", &["main.o", "more.o"], 2);
        fixture.run_app();
    }
}
