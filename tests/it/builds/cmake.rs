//! `CMake`, with BLAKE3, zstd and a small program.

use std::process::Command;

use fs_err as fs;

use super::{blocks, builds_in, copy_tree, has, links, shell, sources};
use crate::support::corpus::crate_sources;
use crate::support::link::Home;
use crate::support::llvm::run;

/// A program with a shared library.
const CMAKE_LISTS: &str = "cmake_minimum_required(VERSION 3.20)\nproject(app C CXX)\n\
    add_library(part SHARED part.c)\nadd_executable(app main.c)\ntarget_link_libraries(app part)\n";

/// A real project: libraries with assembly, checks of the compiler, exported targets.
#[test]
fn blake3_builds_with_the_lines_for_cmake() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    builds_blake3(&blocks("CMake")[0], None);
}

/// Builds BLAKE3's C library and its example with `script`, beside the file that it needs.
fn builds_blake3(script: &str, file: Option<(&str, &str)>) {
    let dir = tempfile::tempdir().expect("a directory");
    copy_tree(&crate_sources("blake3").join("c"), dir.path());
    if let Some((name, text)) = file {
        fs::write(dir.path().join(name), text).expect("written");
    }
    let configured = |first: &str| script.replace(first, &format!("{first} -DBLAKE3_EXAMPLES=ON"));
    let script = if script.contains("-S .") {
        configured("-S .")
    } else {
        configured("--preset thinlto")
    };
    builds_in(&Home::new(), dir.path(), &script, 1, 4);
    let hashed = shell(
        dir.path(),
        &Home::new(),
        "printf abc | build/blake3-example",
    );
    let hash = blake3::hash(b"abc").to_hex();
    assert_eq!(String::from_utf8_lossy(&hashed.stdout).trim(), &*hash);
}

/// Its library alone: the package has no programs.
#[test]
fn zstd_builds_with_the_lines_for_cmake_and_is_found_by_another_build() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let (dir, home) = (tempfile::tempdir().expect("a directory"), Home::new());
    copy_tree(&crate_sources("zstd-sys").join("zstd"), dir.path());
    let options = "-DZSTD_BUILD_PROGRAMS=OFF -DZSTD_LEGACY_SUPPORT=OFF";
    let script = blocks("CMake")[0].replace("-S .", &format!("-S build/cmake {options}"));
    let mut jobs = 0;
    for out in ["one", "other"] {
        let script = script.replace("-B build", &format!("-B {out}"));
        let script = script.replace("--build build", &format!("--build {out}"));
        let links = links(&shell(dir.path(), &home, &script));
        assert_eq!(links.len(), 1, "{links:?}");
        jobs = links[0].jobs;
        let cached = if out == "other" { jobs } else { 0 };
        assert_eq!(links[0].cached, cached, "{links:?}");
    }
    assert!(jobs > 20, "{jobs}");
    let main = "#include <zstd.h>\nint main(void) { return ZSTD_versionNumber() != ZSTD_VERSION_NUMBER; }\n";
    fs::write(dir.path().join("main.c"), main).expect("written");
    let use_it =
        "clang-22 -Ilib main.c -Lother/lib -lzstd -o app && LD_LIBRARY_PATH=other/lib ./app";
    shell(dir.path(), &home, use_it);
}

#[test]
fn cmake_links_with_the_toolchain_file_of_the_page() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let [file, commands] = &blocks("CMake, with a toolchain file")[..] else {
        panic!("the page has a file and the commands");
    };
    builds_blake3(commands, Some(("thinlto.cmake", file)));
}

#[test]
fn cmake_links_with_the_preset_of_the_page() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let [file, commands] = &blocks("CMake, with a preset")[..] else {
        panic!("the page has a file and the commands");
    };
    // BLAKE3 has presets of its own.
    builds_blake3(commands, Some(("CMakeUserPresets.json", file)));
}

#[test]
fn another_checkout_finds_all_results_if_the_tree_names_its_base_dir() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let [file, commands] = &blocks("Several checkouts")[..] else {
        panic!("the page has a file and the commands");
    };
    let main = "#include <stdio.h>\n#include \"part.h\"\n\
        int main(int argc, char **argv) { return printf(\"%s\\n\", __FILE__) < 0 || part(argc) - 3; }\n";
    let header = "static inline int used(int x) { return x + 1; }\nint part(int);\n";
    let lists = format!("{CMAKE_LISTS}target_include_directories(app PRIVATE include)\n");
    let cached = |base_dir: &str| {
        let home = Home::new();
        let build = || {
            let dir = tempfile::tempdir().expect("a directory");
            fs::create_dir(dir.path().join("include")).expect("made");
            let files = [
                ("CMakeLists.txt", &lists[..]),
                ("main.c", main),
                ("include/part.h", header),
                (".relto.toml", base_dir),
            ];
            sources(dir.path(), &files);
            let cached = builds_in(&home, dir.path(), commands, 2, 2);
            run(&mut Command::new(dir.path().join("build/app")));
            cached
        };
        (build(), build())
    };
    assert_eq!(cached(file), (0, 2));
    assert_eq!(cached(""), (0, 0), "what the page says of CMake's paths");
}

#[test]
fn a_checkout_that_is_reached_through_a_symbolic_link_finds_all_results() {
    if !has(&["cmake", "clang++-22"]) {
        return;
    }
    let [file, commands] = &blocks("Several checkouts")[..] else {
        panic!("the page has a file and the commands");
    };
    let home = Home::new();
    let cached = |before: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("data/tree");
        fs::create_dir_all(&tree).expect("made");
        let files = [("CMakeLists.txt", CMAKE_LISTS), (".relto.toml", file)];
        sources(&tree, &files);
        fs::os::unix::fs::symlink(&tree, dir.path().join("link")).expect("linked");
        builds_in(&home, &tree, &format!("{before}{commands}"), 2, 2)
    };
    assert_eq!(cached(""), 0);
    assert_eq!(cached("cd ../../link\n"), 2);
}
