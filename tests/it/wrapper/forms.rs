//! The forms in which modules and native files reach the linker.

use fs_err as fs;

use crate::support::llvm::run;
use crate::support::wrapped::{Release, WrapperDir};

fn fixture() -> WrapperDir {
    let fixture = WrapperDir::new(&Release::under_test());
    fixture.module(
        "main.c",
        "int f(void); int g(void); int main(void) { return f() + g() - 3; }\n",
    );
    fixture.module("f.c", "int f(void) { return 1; }\n");
    fixture.module("g.c", "int g(void) { return 2; }\n");
    fixture
}

#[test]
fn lazy_objects_are_linked_when_they_are_needed() {
    let fixture = fixture();
    fixture.module("unused.c", "int unused(void) { return 1; }\n");
    fixture.compile("native.c", "int native(void) { return 1; }\n", &[]);
    let words = [
        "main.o",
        "-Wl,--start-lib",
        "unused.o",
        "g.o",
        "native.o",
        "f.o",
        "-Wl,--end-lib",
    ];
    fixture.same("clang", &words, 3);
}

#[test]
fn a_whole_archive_is_linked_whole() {
    let fixture = fixture();
    fixture.module("extra.c", "#include <stdio.h>\n__attribute__((constructor)) static void c(void) { puts(\"extra\"); }\n");
    fixture.compile("native.c", "#include <stdio.h>\n__attribute__((constructor)) static void c(void) { puts(\"native\"); }\n", &[]);
    fixture.archive("rcs", "libw.a", &["extra.o", "native.o", "f.o", "g.o"]);
    let words = [
        "main.o",
        "-Wl,--whole-archive",
        "libw.a",
        "-Wl,--no-whole-archive",
    ];
    fixture.same("clang", &words, 4);
    assert_eq!(fixture.run_app(), "native\nextra\n");
}

#[test]
fn response_files_and_libraries_by_name_are_understood() {
    let fixture = fixture();
    fixture.archive("rcs", "libone.a", &["f.o"]);
    fixture.archive("rcs", "libtwo.a", &["g.o"]);
    fixture.write("inner", "-ltwo\n");
    fixture.write("words", "main.o \"-L.\" -lone '@inner'");
    fixture.same("clang", &["-Wl,@words"], 3);
    fixture.same(
        "clang",
        &["main.o", "-L.", "-l:libone.a", "-Wl,--library=two"],
        3,
    );
}

#[test]
fn a_script_may_name_modules() {
    let fixture = fixture();
    fixture.archive("rcs", "libf.a", &["f.o"]);
    fixture.write("libboth.so", "/* both */ INPUT ( libf.a g.o )\n");
    fixture.same("clang", &["main.o", "-L.", "-lboth"], 3);
    fixture.write(
        "libboth.so",
        "GROUP ( -lf AS_NEEDED ( -lm ) AS_NEEDED ( g.o ) )\n",
    );
    fixture.same("clang", &["main.o", "-L.", "-lboth"], 3);
}

#[test]
fn directories_absolute_names_and_blanks_do_not_matter() {
    let fixture = fixture();
    fs::create_dir_all(fixture.path("a b/c")).expect("made");
    fs::rename(fixture.path("f.o"), fixture.path("a b/c/f.o")).expect("moved");
    let absolute = fixture.path("g.o").display().to_string();
    fixture.same("clang", &["main.o", "a b/c/../c/f.o", &absolute], 3);
    let outside = format!(
        "../{}/main.o",
        fixture.dir().file_name().expect("a name").display()
    );
    fixture.same("clang", &[&outside, "./a b/c/f.o", &absolute], 3);
}

#[test]
fn two_members_of_one_name_are_told_apart() {
    let fixture = fixture();
    fs::create_dir(fixture.path("d")).expect("made");
    fixture.compile("native.c", "int n(void) { return 0; }\n", &[]);
    fs::rename(fixture.path("native.o"), fixture.path("d/x.o")).expect("moved");
    fixture.compile("other.c", "int unwanted(void) { return 7; }\n", &[]);
    fs::rename(fixture.path("other.o"), fixture.path("x.o")).expect("moved");
    fixture.module(
        "main.c",
        "int f(void); int g(void); int n(void); int main(void) { return f() + g() + n() - 3; }\n",
    );
    for order in [["x.o", "d/x.o"], ["d/x.o", "x.o"]] {
        let _ = fs::remove_file(fixture.path("libn.a"));
        fixture.archive("qcs", "libn.a", &order);
        fixture.same("clang", &["main.o", "f.o", "g.o", "libn.a"], 3);
        assert_eq!(fixture.run_app(), "");
    }
}

#[test]
fn members_of_thin_archives_may_be_in_other_directories() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        for dir in ["d", "d/e", "lib"] {
            fs::create_dir(fixture.path(dir)).expect("made");
        }
        fixture.module(
            "main.c",
            "int f(void); int g(void); int n(void); int main(void) { return f() + g() + n() - 6; }\n",
        );
        for (place, name, value) in [("d", "f", 1), ("d/e", "g", 2), ("d/e", "n", 3)] {
            let flags = if name == "n" {
                &[][..]
            } else {
                &["-flto=thin"]
            };
            let text = format!("int {name}(void) {{ return {value}; }}\n");
            fixture.compile(&format!("{name}.c"), &text, flags);
            let member = if name == "n" { "n.o" } else { "same.o" };
            let object = fixture.path(&format!("{name}.o"));
            fs::rename(object, fixture.path(place).join(member)).expect("moved");
        }
        let members = ["d/same.o", "d/e/same.o", "d/e/n.o"];
        let archive = "lib/libthin.a";
        fixture.archive("rcsT", archive, &members);
        fixture.same("clang", &["main.o", archive], 3);
        fixture.run_app();
        let whole = [
            "main.o",
            "-Wl,--whole-archive",
            archive,
            "-Wl,--no-whole-archive",
        ];
        fixture.same("clang", &whole, 3);
        let relocatable = ["-r", "-nostdlib", "-Wl,--whole-archive", archive];
        fixture.same("clang", &relocatable, 2);
    }
}

#[test]
fn fat_objects_are_bitcode_where_the_linker_takes_them_so() {
    let fixture = fixture();
    for name in ["f", "g"] {
        let source = format!("{name}.c");
        let text = fs::read_to_string(fixture.path(&source)).expect("a source");
        fixture.compile(&source, &text, &["-flto=thin", "-ffat-lto-objects"]);
    }
    fixture.archive("rcs", "libg.a", &["g.o"]);
    fixture.same(
        "clang",
        &["-ffat-lto-objects", "main.o", "f.o", "libg.a"],
        3,
    );
    fixture.same("clang", &["main.o", "f.o", "libg.a"], 1);
}

#[test]
fn modules_for_regular_lto_are_compiled_by_the_thin_link() {
    let fixture = fixture();
    fixture.compile("f.c", "int f(void) { return 1; }\n", &["-flto=full"]);
    fixture.same("clang", &["main.o", "f.o", "g.o"], 2);
    let split = [
        "-flto=thin",
        "-fsplit-lto-unit",
        "-fwhole-program-vtables",
        "-fvisibility=hidden",
    ];
    fixture.compile(
        "v.cc",
        "struct A { virtual int h(); };\nint A::h() { return 1; }\n\
         extern \"C\" int f(void) { A a; A *p = &a; return p->h(); }\n",
        &split,
    );
    fixture.compile(
        "main2.cc",
        "extern \"C\" int f(void); int main() { return f() - 1; }\n",
        &split,
    );
    fixture.same("clang++", &["main2.o", "v.o", "-fwhole-program-vtables"], 2);
    run(&mut std::process::Command::new(fixture.path("app")));
}

#[test]
fn a_relocatable_link_keeps_each_module_as_it_was_compiled() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        fixture.compile(
            "a.c",
            "int v; int a(void) { return v; }\n",
            &["-flto=thin", "-fPIC"],
        );
        fixture.compile(
            "b.c",
            "extern int v; int b(void) { return v + 1; }\n",
            &["-flto=thin", "-fno-pic"],
        );
        fixture.compile("n.c", "int n(void) { return 1; }\n", &[]);
        fixture.archive("rcs", "liball.a", &["a.o", "b.o", "n.o"]);
        let words = ["-r", "-nostdlib", "-Wl,--whole-archive", "liball.a"];
        fixture.same("clang", &words, 2);
    }
}

/// As Linux links `vmlinux.o`: everything in one thin archive, whole, and libraries in a group.
#[test]
fn a_kernel_is_the_linkers_own() {
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        let kernel = [
            "-flto=thin",
            "-fno-pic",
            "-mcmodel=kernel",
            "-ffreestanding",
            "-fvisibility=hidden",
        ];
        let text = |name: &str, other: &str| {
            format!(
                "struct entry {{ const char *name; void *at; }};\nint {other}(int);\n\
                 static inline int helper(int x) {{ return x * 3; }}\n\
                 __attribute__((weak)) int arch(int x) {{ return x; }}\n\
                 int {name}(int x) {{ return x > 9 ? x : {other}(helper(x) + arch(x)); }}\n\
                 static const struct entry e __attribute__((used, section(\"table\"))) = {{ \"{name}\", (void *){name} }};\n"
            )
        };
        fixture.compile("a.c", &text("a", "b"), &kernel);
        fixture.compile("b.c", &text("b", "c"), &kernel);
        fixture.compile("c.c", &text("c", "a"), &kernel);
        fixture.compile(
            "strong.c",
            "int arch(int x) { return x + 1; }\n",
            &["-fno-pic", "-mcmodel=kernel"],
        );
        fixture.compile("lib.c", "int lib(int x) { return x - 1; }\n", &kernel);
        fixture.write(
            "head.S",
            ".globl head\n.section .head.text,\"ax\"\nhead: call a\n call lib\n ret\n",
        );
        run(fixture.command("clang").args(["-c", "head.S"]));
        fixture.archive("rcsT", "built-in.a", &["head.o", "a.o", "strong.o", "b.o"]);
        fixture.archive("rcsT", "vmlinux.a", &["built-in.a", "c.o"]);
        fixture.archive("rcs", "lib.a", &["lib.o"]);
        let words = [
            "-r",
            "-nostdlib",
            "-Wl,-z,noexecstack,-mllvm,-import-instr-limit=5",
            "-Wl,--whole-archive",
            "vmlinux.a",
            "-Wl,--no-whole-archive,--start-group",
            "lib.a",
            "-Wl,--end-group",
        ];
        fixture.same("clang", &words, 4);
    }
}
