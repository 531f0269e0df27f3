//! `ld64.lld`: programs for Apple's platforms. Nothing here can run them, so each is compared with
//! the linker's own byte by byte.

mod order;

use fs_err as fs;

use crate::support::outcome::Counts;
use crate::support::wrapped::{Release, WrapperDir};

/// The libraries that the programs here need, as far as they need them.
const LIBRARIES: [(&str, &str); 3] = [
    (
        "libSystem",
        "dyld_stub_binder, _puts, ___cxa_atexit, __tlv_bootstrap, __tlv_atexit, __Unwind_Resume, _memset, _bzero, ___bzero, _memcpy",
    ),
    (
        "libc++",
        "__ZTVN10__cxxabiv117__class_type_infoE, __ZTIi, ___cxa_allocate_exception, ___cxa_throw, ___cxa_begin_catch, ___cxa_end_catch, ___gxx_personality_v0, __ZdlPv, __ZdlPvm, __Z5maybei",
    ),
    ("libgone", "_gone"),
];

const ARCHS: [&str; 2] = ["x86_64", "arm64"];

/// A directory in which programs for one processor are made.
struct Apple {
    fixture: WrapperDir,
    target: String,
}

impl Apple {
    /// One for each processor.
    fn each() -> impl Iterator<Item = Self> {
        ARCHS.into_iter().map(Self::new)
    }

    fn new(arch: &str) -> Self {
        let fixture = WrapperDir::new(&Release::under_test());
        fs::create_dir_all(fixture.path("sdk/usr/lib")).expect("made");
        for (name, symbols) in LIBRARIES {
            let text = format!(
                "--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\ninstall-name: '/usr/lib/{name}.dylib'\n\
                 exports:\n  - targets: [ x86_64-macos, arm64-macos ]\n    symbols: [ {symbols} ]\n...\n"
            );
            fixture.write(&format!("sdk/usr/lib/{name}.tbd"), &text);
        }
        let target = format!("--target={arch}-apple-macos13");
        Self { fixture, target }
    }

    fn compile(&self, name: &str, text: &str, flags: &[&str]) {
        let flags = [&[&self.target[..]], flags].concat();
        self.fixture.compile(name, text, &flags);
    }

    fn module(&self, name: &str, text: &str) {
        self.compile(name, text, &["-flto=thin"]);
    }

    /// Links as `app`; returns what was said.
    fn link(&self, driver: &str, linker: &str, words: &[&str]) -> std::process::Output {
        let mut command = self.fixture.command(driver);
        // The clang of an Xcode that knows all options.
        command.args([&self.target, "-isysroot", "sdk", "-mlinker-version=1000"]);
        command.args(["-O2", "-flto=thin", "-fuse-ld=lld", linker, "-o", "app"]);
        command.args(words).output().expect("clang starts")
    }

    fn theirs(&self, driver: &str, words: &[&str]) -> Vec<u8> {
        let linker = self.fixture.release.tool("ld64.lld");
        let output = self.link(driver, &format!("--ld-path={}", linker.display()), words);
        assert!(output.status.success(), "{output:?}");
        let theirs = fs::read(self.fixture.path("app")).expect("linked");
        fs::remove_file(self.fixture.path("app")).expect("removed");
        theirs
    }

    fn ours(&self, driver: &str, words: &[&str]) -> std::process::Output {
        let linker = self.fixture.path("relto-ld64.lld");
        self.link(driver, &format!("--ld-path={}", linker.display()), words)
    }

    /// Links both ways; the program must be the same, of `jobs` jobs.
    fn same(&self, driver: &str, words: &[&str], jobs: usize) -> Counts {
        let theirs = self.theirs(driver, words);
        let counts = self.fixture.counts(&self.ours(driver, words), words);
        assert_eq!(counts.jobs, jobs, "{words:?}");
        let ours = fs::read(self.fixture.path("app")).expect("linked");
        assert!(
            ours == theirs,
            "{} {words:?}: another program than the linker's",
            self.target
        );
        self.fixture.assert_nothing_is_left();
        counts
    }

    /// The linker must do it alone, for this reason.
    fn alone(&self, driver: &str, words: &[&str], reason: &str) {
        let theirs = self.theirs(driver, words);
        let output = self.ours(driver, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("the linker does this link alone: ") && said.contains(reason),
            "{words:?}: {said}"
        );
        assert!(fs::read(self.fixture.path("app")).expect("linked") == theirs);
    }
}

fn c_program() -> impl Iterator<Item = Apple> {
    Apple::each().inspect(|apple| {
        apple.module("main.c", "int puts(const char *); int f(int); int h(int);\nint main(int c, char **v) { puts(\"x\"); return f(c) + h(c); }\n");
        apple.module("f.c", "int g(int); int f(int x) { return g(x) * 3; }\n");
        apple.module("g.c", "int g(int x) { return x + 1; }\n");
        apple.module("unused.c", "int unused(int x) { return x + 2; }\n");
        apple.compile("h.c", "int h(int x) { return x * 11; }\nint hh(int x) { return x; }\n", &[]);
        apple.fixture.archive("rcs", "libx.a", &["unused.o", "f.o", "h.o"]);
        apple.fixture.archive("rcs", "liby.a", &["g.o"]);
    })
}

#[test]
fn a_c_program_is_ld64s_own_in_every_form() {
    for apple in c_program() {
        apple.fixture.write("list", "main.o\nf.o\n");
        for (words, jobs) in [
            (&["main.o", "libx.a", "liby.a"][..], 3),
            (&["main.o", "-L.", "-lx", "-ly", "-Wl,-dead_strip"], 3),
            (&["main.o", "f.o", "g.o", "h.o", "-dynamiclib"], 3),
            (&["-O3", "main.o", "libx.a", "liby.a", "-bundle"], 3),
            (&["main.o", "-Wl,-all_load", "libx.a", "liby.a"], 4),
            (&["main.o", "-Wl,-force_load,libx.a", "liby.a"], 4),
            (&["main.o", "-Wl,-ObjC", "libx.a", "liby.a"], 3),
            (&["-Wl,-filelist,list", "h.o", "g.o"], 3),
            (
                &[
                    "main.o",
                    "-Wl,--start-lib",
                    "unused.o",
                    "f.o",
                    "g.o",
                    "h.o",
                    "-Wl,--end-lib",
                ],
                3,
            ),
            (
                &["main.o", "libx.a", "liby.a", "-Wl,--icf=safe,-map,map"],
                3,
            ),
            (&["main.o", "libx.a", "liby.a", "-Wl,-mcpu,generic"], 3),
            (&["-lSystem", "-lgone", "main.o", "libx.a", "liby.a"], 3),
            (
                &["main.o", "libx.a", "liby.a", "-Wl,-exported_symbol,_f"],
                3,
            ),
        ] {
            apple.same("clang", words, jobs);
        }
    }
}

/// Options that the final link must do the same with as the linker's own LTO does.
const OPTIONS: &[&[&str]] = &[
    &["-Wl,-order_file,order"],
    &["-Wl,-exported_symbols_list,exported"],
    &["-Wl,-exported_symbols_list,exported", "-Wl,-dead_strip"],
    &["-Wl,-unexported_symbols_list,exported"],
    &["-Wl,-unexported_symbol,_f"],
    &["-Wl,-export_dynamic"],
    &["-Wl,-no_exported_symbols"],
    &["-Wl,-non_global_symbols_strip_list,exported"],
    &["-Wl,-u,_hh"],
    &["-Wl,-u,_gone", "-lgone"],
    &["-Wl,-U,_nowhere"],
    &["-Wl,-undefined,dynamic_lookup"],
    &["-Wl,-flat_namespace"],
    &["-Wl,-init_offsets"],
    &["-Wl,-fixup_chains"],
    &["-Wl,-no_fixup_chains"],
    &["-Wl,-no_function_starts", "-Wl,-no_data_in_code_info"],
    &["-Wl,-S", "-Wl,-x"],
    &["-Wl,-no_uuid"],
    &["-Wl,-sectcreate,__A,__b,order"],
    &["-Wl,-rename_section,__TEXT,__text,__TEXT,__moved"],
    &["-Wl,-rename_segment,__DATA,__MOVED"],
    &["-Wl,-add_empty_section,__A,__c"],
    &["-Wl,-sectalign,__TEXT,__text,0x1000"],
    &["-Wl,-headerpad,0x400"],
    &["-Wl,-no_data_const"],
    &["-Wl,-no_adhoc_codesign"],
    &["-Wl,-rpath,@loader_path/x"],
    &["-Wl,-dyld_env,DYLD_X=y"],
    &["-Wl,-e,_f"],
    &["-Wl,--icf=all"],
    &["-Wl,-no_deduplicate"],
    &["-Wl,--no-deduplicate-strings"],
    &["-Wl,-mllvm,-inline-threshold=0"],
    &["-Wl,--lto-O3"],
    &["-Wl,-weak-lgone"],
    &["-Wl,-needed-lgone"],
    &["-Wl,-weak_library,libdynamic.dylib"],
    &["-Wl,-needed_library,libdynamic.dylib"],
    &["libdynamic.dylib", "-Wl,-dead_strip_dylibs"],
    &["-Wl,-reexport_library,libdynamic.dylib", "-dynamiclib"],
    &["-Fframeworks", "-framework", "Foo"],
    &["-Fframeworks", "-Wl,-weak_framework,Foo"],
    &["-Fframeworks", "-Wl,-needed_framework,Foo"],
    &["-Fframeworks", "-Wl,-reexport_framework,Foo", "-dynamiclib"],
    &[
        "-dynamiclib",
        "-Wl,-install_name,/x/y.dylib,-current_version,3.2,-compatibility_version,2",
    ],
    &["-dynamiclib", "-Wl,-interposable"],
    &[
        "-dynamiclib",
        "-Wl,-mark_dead_strippable_dylib",
        "-Wl,-application_extension",
    ],
    // The archive has been read by then.
    &["-Wl,-force_load,liby.a"],
    &["liby.a"],
];

#[test]
fn options_of_ld64_mean_what_they_mean_in_its_own_lto() {
    const FRAMEWORK: &str = "--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\n\
        install-name: '/Library/Frameworks/Foo.framework/Foo'\nexports:\n  - targets: [ x86_64-macos, arm64-macos ]\n    symbols: [ _foo ]\n...\n";
    for apple in c_program() {
        apple.module("g.c", "_Thread_local int t; __attribute__((constructor)) static void c(void) { t = 3; }\nint g(int x) { return x + t++; }\n");
        apple.fixture.archive("rcs", "liby.a", &["g.o"]);
        apple.compile("dynamic.c", "int dynamic(void) { return 1; }\n", &[]);
        let words = [
            "dynamic.o",
            "-dynamiclib",
            "-Wl,-install_name,/x/libdynamic.dylib",
        ];
        let library = apple.theirs("clang", &words);
        fs::write(apple.fixture.path("libdynamic.dylib"), library).expect("written");
        apple.fixture.write("order", "_h\n_g\n_main\n_f\n");
        apple.fixture.write("exported", "_f\n_h*\n");
        fs::create_dir_all(apple.fixture.path("frameworks/Foo.framework")).expect("made");
        apple
            .fixture
            .write("frameworks/Foo.framework/Foo.tbd", FRAMEWORK);
        for words in OPTIONS {
            let words = [&["main.o", "libx.a", "liby.a"], *words].concat();
            apple.same("clang", &words, 3);
        }
    }
}

#[test]
fn members_that_only_an_object_asks_for_come_before_it() {
    for apple in Apple::each() {
        apple.module(
            "main.c",
            "int a(void), b(void), n(void); int main(void) { return a() + b() + n(); }\n",
        );
        apple.module(
            "a.c",
            "char z[5000]; int a(void) { for (int i = 0; i < 5000; i++) z[i] = 0; return z[7]; }\n",
        );
        apple.module(
            "b.c",
            "struct S { char b[4096]; } from, to; int b(void) { to = from; return to.b[3]; }\n",
        );
        let natives = [
            ("n.c", "int n(void) { return 1; }\n"),
            (
                "bzero.c",
                "int count(void); void bzero(char *d, unsigned long n) { count(); while (n--) { __asm__(\"\"); *d++ = 0; } }\nvoid __bzero(char *d, unsigned long n) { bzero(d, n); }\n",
            ),
            (
                "set.c",
                "void *memset(void *d, int c, unsigned long n) { char *t = d; while (n--) { __asm__(\"\"); *t++ = c; } return d; }\n",
            ),
            (
                "copy.c",
                "int count(void); void *memcpy(void *d, const void *s, unsigned long n) { char *t = d; const char *f = s; count(); while (n--) { __asm__(\"\"); *t++ = *f++; } return d; }\n",
            ),
            ("count.c", "static int n; int count(void) { return ++n; }\n"),
        ];
        for (name, text) in natives {
            apple.compile(name, text, &["-fno-builtin"]);
        }
        let members = ["count.o", "copy.o", "set.o", "bzero.o"];
        apple.fixture.archive("rcs", "libmem.a", &members);
        for words in [
            ["main.o", "a.o", "b.o", "n.o", "libmem.a"],
            ["libmem.a", "b.o", "n.o", "main.o", "a.o"],
        ] {
            apple.same("clang", &words, 3);
        }
    }
}

#[test]
fn relinks_are_cached_for_another_archive() {
    for apple in c_program() {
        let counts = apple.same("clang", &["main.o", "f.o", "g.o", "h.o"], 3);
        assert_eq!(counts.local, 3);
        let counts = apple.same("clang", &["main.o", "libx.a", "liby.a"], 3);
        assert_eq!(counts.cached, 3);
    }
}

/// The directory is the user's; the linker puts one more object into it, of no module.
#[test]
fn objects_are_kept_where_the_linker_would_keep_them() {
    for apple in c_program() {
        let words = ["main.o", "libx.a", "liby.a", "-Wl,-object_path_lto,objects"];
        apple.theirs("clang", &words);
        let objects = || {
            let entries = fs::read_dir(apple.fixture.path("objects")).expect("listed");
            let files = entries.map(|entry| entry.expect("an entry").path());
            let mut files: Vec<_> = files
                .map(|path| (path.clone(), fs::read(path).expect("read")))
                .collect();
            files.sort();
            files
        };
        let theirs = objects();
        assert_eq!(theirs.len(), 4);
        fs::remove_dir_all(apple.fixture.path("objects")).expect("removed");
        apple.same("clang", &words, 3);
        assert!(objects() == theirs, "{}: other objects", apple.target);
    }
}

/// A tree may hold links of those names, which lead to files of the user.
#[test]
fn objects_that_are_kept_replace_links_and_are_not_written_through_them() {
    for apple in c_program() {
        let words = ["main.o", "libx.a", "liby.a", "-Wl,-object_path_lto,objects"];
        let arch = if apple.target.contains("x86_64") {
            "x86_64"
        } else {
            "arm64"
        };
        apple.fixture.write("precious", "the user's own\n");
        fs::create_dir_all(apple.fixture.path("objects")).expect("made");
        let kept = |task| apple.fixture.path(&format!("objects/{task}.{arch}.lto.o"));
        for task in 0..4 {
            std::os::unix::fs::symlink("../precious", kept(task)).expect("linked");
        }
        let output = apple.ours("clang", &words);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(apple.fixture.counts(&output, &words).jobs, 3);
        let precious = fs::read_to_string(apple.fixture.path("precious")).expect("read");
        assert_eq!(precious, "the user's own\n");
        for task in 0..4 {
            let found = fs::symlink_metadata(kept(task)).expect("kept");
            assert!(found.is_file(), "{task}: {found:?}");
        }
    }
}

const MAIN: &str = "extern \"C\" int puts(const char *);\n\
    template <int N> struct V { virtual int v(int x) { return x + N; } virtual ~V() {} };\n\
    struct S { S() { puts(\"a\"); } ~S() { puts(\"~a\"); } }; static S s;\n\
    int g(V<3> *); int h(int); int native(int); int maybe(int) __attribute__((weak_import));\n\
    inline int shared(int x) { static int n; return n += x; }\n\
    int main(int c, char **) { V<3> v;\n\
    try { return g(&v) + shared(c) + h(c) + native(c) + (maybe ? maybe(1) : 0); } catch (int i) { return i; } }\n";
const MORE: &str = "extern \"C\" int puts(const char *);\n\
    template <int N> struct V { virtual int v(int x) { return x + N; } virtual ~V() {} };\n\
    struct S { S() { puts(\"b\"); } }; static S s;\n\
    inline int shared(int x) { static int n; return n += x; }\n\
    int g(V<3> *p) { if (!p) throw 3; return p->v(shared(2)); }\n\
    thread_local int t = 3; int h(int x) { return t += x; }\n";
const NATIVE: &str = "extern \"C\" int puts(const char *);\n\
    struct S { S() { puts(\"n\"); } }; static S s;\nint native(int x) { return x * 7; }\n";

#[test]
fn a_cxx_program_is_ld64s_own_with_initializers_exceptions_and_weak_imports() {
    for apple in Apple::each() {
        apple.module("main.cc", MAIN);
        apple.module("more.cc", MORE);
        apple.compile("native.cc", NATIVE, &[]);
        apple
            .fixture
            .archive("rcs", "libx.a", &["more.o", "native.o"]);
        for words in [
            &["main.o", "more.o", "native.o"][..],
            &["native.o", "main.o", "more.o"],
            &["main.o", "libx.a", "-Wl,-dead_strip"],
            &["main.o", "libx.a", "-dynamiclib", "-Wl,--icf=all"],
        ] {
            apple.same("clang++", words, 2);
        }
    }
}

#[test]
fn a_library_that_only_bitcode_asked_for_is_a_load_command() {
    for apple in Apple::each() {
        apple.module("main.c", "int gone(void); int never(void);\nint main(void) { if (never()) return gone(); return 0; }\n");
        apple.module("never.c", "int never(void) { return 0; }\n");
        let words = ["main.o", "never.o", "-lgone"];
        apple.same("clang", &words, 2);
        let words = [&words[..], &["-Wl,-dead_strip_dylibs"]].concat();
        apple.same("clang", &words, 2);
        let program = fs::read(apple.fixture.path("app")).expect("linked");
        let named = program
            .windows(LIBRARIES[2].0.len())
            .any(|part| part == b"libgone");
        assert!(named);
    }
}

/// The linker calls each of its objects `/tmp/lto.tmp` there, which is no use to anyone.
#[test]
fn debug_information_names_kept_objects_or_none_that_changes() {
    for apple in Apple::each() {
        let debug = ["-flto=thin", "-g"];
        apple.compile("main.cc", MAIN, &debug);
        apple.compile("more.cc", MORE, &debug);
        apple.compile("native.cc", NATIVE, &["-g"]);
        let inputs = ["main.o", "more.o", "native.o"];
        let linked = || {
            let counts = apple
                .fixture
                .counts(&apple.ours("clang++", &inputs), &inputs);
            assert_eq!(counts.jobs, 2);
            fs::read(apple.fixture.path("app")).expect("linked")
        };
        assert!(linked() == linked(), "{}", apple.target);
        let prefix = ["-Wl,-oso_prefix,."];
        apple.alone(
            "clang++",
            &[&inputs[..], &prefix].concat(),
            "`-oso_prefix` without `-object_path_lto`",
        );
        apple.fixture.archive("rcs", "libn.a", &["native.o"]);
        let words = ["main.o", "more.o", "libn.a"];
        apple.alone(
            "clang++",
            &words,
            "debug information of the archive member `libn.a(native.o)`",
        );
    }
}

#[test]
fn what_three_steps_cannot_express_is_left_to_ld64() {
    for apple in c_program() {
        for (words, reason) in [
            (
                &["-Wl,-dependency_info,info"][..],
                "`-dependency_info info` shows",
            ),
            (&["-Wl,--lto-O1"], "optimization level 1"),
            (&["-Wl,-save-temps"], "`-save-temps`"),
            (&["-Wl,-alias,_f,_other"], "resolves before LTO"),
        ] {
            let words = [&["main.o", "libx.a", "liby.a"], words].concat();
            apple.alone("clang", &words, reason);
        }
        apple.module(
            "w.cc",
            "inline int w() { static int n; return ++n; }\nextern \"C\" int h(int x) { return w() + x; }\n",
        );
        apple.compile(
            "n.cc",
            "inline int w() { static int n; return ++n; }\nextern \"C\" int g(int x) { return w() + x; }\n",
            &[],
        );
        apple.alone(
            "clang++",
            &["main.o", "f.o", "w.o", "n.o"],
            "the weak symbol",
        );
    }
}

#[test]
fn a_link_without_modules_is_ld64s_from_the_start() {
    let apple = Apple::new("arm64");
    apple.compile("main.c", "int main(void) { return 0; }\n", &[]);
    apple.compile("f.c", "int f(void) { return 0; }\n", &[]);
    apple.fixture.archive("rcs", "libf.a", &["f.o"]);
    let mut lipo = apple.fixture.command("llvm-lipo");
    let lipo = lipo.args(["-create", "libf.a", "-output", "fat.a"]);
    assert!(lipo.status().expect("llvm-lipo starts").success());
    for words in [&["main.o"][..], &["main.o", "fat.a"]] {
        let output = apple.ours("clang", words);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{words:?}: {output:?}"
        );
    }
}
