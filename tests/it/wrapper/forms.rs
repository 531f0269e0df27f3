//! The forms in which modules and native files reach the linker.

use fs_err as fs;

use crate::support::llvm::run;
use crate::support::wrapped::{Release, WrapperDir};

fn shop() -> WrapperDir {
    let shop = WrapperDir::new(&Release::newest_with_all_tests());
    shop.module(
        "main.c",
        "int f(void); int g(void); int main(void) { return f() + g() - 3; }\n",
    );
    shop.module("f.c", "int f(void) { return 1; }\n");
    shop.module("g.c", "int g(void) { return 2; }\n");
    shop
}

#[test]
fn lazy_objects_are_linked_when_they_are_needed() {
    let shop = shop();
    shop.module("unused.c", "int unused(void) { return 1; }\n");
    shop.compile("native.c", "int native(void) { return 1; }\n", &[]);
    let words = [
        "main.o",
        "-Wl,--start-lib",
        "unused.o",
        "g.o",
        "native.o",
        "f.o",
        "-Wl,--end-lib",
    ];
    shop.same("clang", &words, 3);
}

#[test]
fn a_whole_archive_is_linked_whole() {
    let shop = shop();
    shop.module("extra.c", "#include <stdio.h>\n__attribute__((constructor)) static void c(void) { puts(\"extra\"); }\n");
    shop.compile("native.c", "#include <stdio.h>\n__attribute__((constructor)) static void c(void) { puts(\"native\"); }\n", &[]);
    shop.archive("rcs", "libw.a", &["extra.o", "native.o", "f.o", "g.o"]);
    let words = [
        "main.o",
        "-Wl,--whole-archive",
        "libw.a",
        "-Wl,--no-whole-archive",
    ];
    shop.same("clang", &words, 4);
    assert_eq!(shop.run_app(), "native\nextra\n");
}

#[test]
fn response_files_and_libraries_by_name_are_understood() {
    let shop = shop();
    shop.archive("rcs", "libone.a", &["f.o"]);
    shop.archive("rcs", "libtwo.a", &["g.o"]);
    shop.write("inner", "-ltwo\n");
    shop.write("words", "main.o \"-L.\" -lone '@inner'");
    shop.same("clang", &["-Wl,@words"], 3);
    shop.same(
        "clang",
        &["main.o", "-L.", "-l:libone.a", "-Wl,--library=two"],
        3,
    );
}

#[test]
fn a_script_may_name_modules() {
    let shop = shop();
    shop.archive("rcs", "libf.a", &["f.o"]);
    shop.write("libboth.so", "/* both */ INPUT ( libf.a g.o )\n");
    shop.same("clang", &["main.o", "-L.", "-lboth"], 3);
}

#[test]
fn directories_absolute_names_and_blanks_do_not_matter() {
    let shop = shop();
    fs::create_dir_all(shop.path("a b/c")).expect("made");
    fs::rename(shop.path("f.o"), shop.path("a b/c/f.o")).expect("moved");
    let absolute = shop.path("g.o").display().to_string();
    shop.same("clang", &["main.o", "a b/c/../c/f.o", &absolute], 3);
    let outside = format!(
        "../{}/main.o",
        shop.dir().file_name().expect("a name").display()
    );
    shop.same("clang", &[&outside, "./a b/c/f.o", &absolute], 3);
}

#[test]
fn two_members_of_one_name_are_told_apart() {
    let shop = shop();
    fs::create_dir(shop.path("d")).expect("made");
    shop.compile("native.c", "int n(void) { return 0; }\n", &[]);
    fs::rename(shop.path("native.o"), shop.path("d/x.o")).expect("moved");
    shop.compile("other.c", "int unwanted(void) { return 7; }\n", &[]);
    fs::rename(shop.path("other.o"), shop.path("x.o")).expect("moved");
    shop.module(
        "main.c",
        "int f(void); int g(void); int n(void); int main(void) { return f() + g() + n() - 3; }\n",
    );
    for order in [["x.o", "d/x.o"], ["d/x.o", "x.o"]] {
        let _ = fs::remove_file(shop.path("libn.a"));
        shop.archive("qcs", "libn.a", &order);
        shop.same("clang", &["main.o", "f.o", "g.o", "libn.a"], 3);
        assert_eq!(shop.run_app(), "");
    }
}

#[test]
fn fat_objects_are_bitcode_where_the_linker_takes_them_so() {
    let shop = shop();
    for name in ["f", "g"] {
        let source = format!("{name}.c");
        let text = fs::read_to_string(shop.path(&source)).expect("a source");
        shop.compile(&source, &text, &["-flto=thin", "-ffat-lto-objects"]);
    }
    shop.archive("rcs", "libg.a", &["g.o"]);
    shop.same(
        "clang",
        &["-ffat-lto-objects", "main.o", "f.o", "libg.a"],
        3,
    );
    shop.same("clang", &["main.o", "f.o", "libg.a"], 1);
}

#[test]
fn modules_for_regular_lto_are_compiled_by_the_thin_link() {
    let shop = shop();
    shop.compile("f.c", "int f(void) { return 1; }\n", &["-flto=full"]);
    shop.same("clang", &["main.o", "f.o", "g.o"], 2);
    let split = [
        "-flto=thin",
        "-fsplit-lto-unit",
        "-fwhole-program-vtables",
        "-fvisibility=hidden",
    ];
    shop.compile(
        "v.cc",
        "struct A { virtual int h(); };\nint A::h() { return 1; }\n\
         extern \"C\" int f(void) { A a; A *p = &a; return p->h(); }\n",
        &split,
    );
    shop.compile(
        "main2.cc",
        "extern \"C\" int f(void); int main() { return f() - 1; }\n",
        &split,
    );
    shop.same("clang++", &["main2.o", "v.o", "-fwhole-program-vtables"], 2);
    run(&mut std::process::Command::new(shop.path("app")));
}

#[test]
fn a_relocatable_link_keeps_each_module_as_it_was_compiled() {
    for release in Release::installed() {
        let shop = WrapperDir::new(&release);
        shop.compile(
            "a.c",
            "int v; int a(void) { return v; }\n",
            &["-flto=thin", "-fPIC"],
        );
        shop.compile(
            "b.c",
            "extern int v; int b(void) { return v + 1; }\n",
            &["-flto=thin", "-fno-pic"],
        );
        shop.compile("n.c", "int n(void) { return 1; }\n", &[]);
        shop.archive("rcs", "liball.a", &["a.o", "b.o", "n.o"]);
        let words = ["-r", "-nostdlib", "-Wl,--whole-archive", "liball.a"];
        shop.same("clang", &words, 2);
    }
}
