//! What a link compiles again after one edit, by whole keys and by slice keys; `benches/README.md`
//! says how to read it.
//!
//! The program is zstd, as the registry has it; each edit replaces one text of one file. Every
//! object is compared with the one that the compiler writes in place.

use std::path::{Path, PathBuf};

use fs_err as fs;
use relto_testing::corpus::{crate_sources, files};
use relto_testing::link::{Home, Link};
use relto_testing::llvm::{Llvm, run};
use relto_testing::measure::show;
use relto_testing::program::{Check, Program};
use tempfile::TempDir;

const DIRS: [&str; 4] = ["common", "compress", "decompress", "dictBuilder"];
const FLAGS: [&str; 6] = [
    "-O2",
    "-flto=thin",
    "-w",
    "-DZSTD_DISABLE_ASM",
    "-DXXH_NAMESPACE=ZSTD_",
    "-I.",
];

const MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zstd.h"
#include "zdict.h"

int main(void) {
  size_t size = 1 << 18, bound = ZSTD_compressBound(size), sizes[4] = {1000, 1000, 1000, 1000};
  char *plain = calloc(1, size), *packed = malloc(bound), *back = malloc(size);
  for (size_t i = 0; i < size; i++) plain[i] = "abcdefgh"[i * i % 7];
  size_t n = ZSTD_compress(packed, bound, plain, size, 9);
  size_t m = ZSTD_decompress(back, size, packed, n);
  puts(ZDICT_isError(ZDICT_trainFromBuffer(back, 10, plain, sizes, 4)) ? "" : "a dictionary");
  puts(m == size && !memcmp(plain, back, size) ? "ok" : ZSTD_getErrorName(m));
  return 0;
}
"#;

/// Name, file, and the text that another one replaces.
const EDITS: &[(&str, &str, &str, &str)] = &[
    (
        "a message",
        "common/error_private.c",
        "Unspecified error code",
        "Unknown error code",
    ),
    (
        "a function more",
        "common/zstd_common.c",
        "unsigned ZSTD_versionNumber(void)",
        "int ZSTD_new(int x) { return x * 3; }\nunsigned ZSTD_versionNumber(void)",
    ),
    (
        "a result",
        "common/zstd_common.c",
        "return ZSTD_VERSION_NUMBER;",
        "return ZSTD_VERSION_NUMBER + 1;",
    ),
    (
        "a check",
        "common/entropy_common.c",
        "if (bitCount > 32)",
        "if (bitCount > 31)",
    ),
    (
        "a threshold",
        "compress/hist.c",
        "sourceSize < 1500",
        "sourceSize < 1600",
    ),
    (
        "a constant",
        "compress/zstd_preSplit.c",
        "#define THRESHOLD_PENALTY 3",
        "#define THRESHOLD_PENALTY 4",
    ),
    (
        "a step",
        "compress/zstd_lazy.c",
        "#define kLazySkippingStep 8",
        "#define kLazySkippingStep 9",
    ),
    (
        "an error's number",
        "compress/zstd_compress.c",
        "if (r==0) return ERROR(srcSize_wrong);",
        "if (r==0) return ERROR(GENERIC);",
    ),
    (
        "a queue's size",
        "common/pool.c",
        "return POOL_create_advanced(numThreads, queueSize, ZSTD_defaultCMem);",
        "return POOL_create_advanced(numThreads, queueSize + 1, ZSTD_defaultCMem);",
    ),
    (
        "a multiplier",
        "compress/zstd_opt.c",
        "BITCOST_ACCURACY 8",
        "BITCOST_ACCURACY 7",
    ),
];

fn main() {
    let base = Tree::new();
    let (whole, sliced) = (Home::new(), Home::new());
    let before = base.link("off", &whole);
    base.link("on", &sliced);
    show(&format!("zstd, {} jobs\n\n", before.ran));
    show(
        "| edit | file | objects that change | run, whole keys | run, slice keys |\n|---|---|---|---|---|\n",
    );
    let mut sums = [0; 3];
    for (name, file, from, to) in EDITS {
        let tree = base.edited(file, from, to);
        let reference = tree.reference();
        let [by_whole, by_slice] =
            [("off", &whole), ("on", &sliced)].map(|(switch, home)| tree.link(switch, home));
        assert_eq!(by_whole.objects, reference, "{name}");
        assert_eq!(by_slice.objects, reference, "{name}");
        let pairs = before.objects.iter().zip(&reference);
        let changed = pairs.filter(|(old, new)| old != new).count();
        let counts = [changed, by_whole.ran, by_slice.ran];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        let [changed, whole, sliced] = counts;
        show(&format!(
            "| {name} | {file} | {changed} | {whole} | {sliced} |\n"
        ));
    }
    let [changed, whole, sliced] = sums;
    show(&format!("| all | | {changed} | {whole} | {sliced} |\n"));
}

/// A link's objects, and how many compilers ran.
struct Linked {
    objects: Vec<Vec<u8>>,
    ran: usize,
}

/// The sources, with a module for each. Their names are relative: they stand in the modules.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().expect("a directory"));
        let library = crate_sources("zstd-sys").join("zstd/lib");
        for dir in [""].iter().chain(&DIRS) {
            fs::create_dir_all(tree.path().join(dir)).expect("made");
            for extension in ["c", "h"] {
                for file in files(&library.join(dir), extension) {
                    let name = file.file_name().expect("a file");
                    fs::copy(&file, tree.path().join(dir).join(name)).expect("copied");
                }
            }
        }
        fs::write(tree.path().join("main.c"), MAIN).expect("written");
        for source in tree.sources() {
            tree.compile(&source);
        }
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// All sources by their relative names, `main` first.
    fn sources(&self) -> Vec<PathBuf> {
        let inner = DIRS
            .iter()
            .flat_map(|dir| files(&self.path().join(dir), "c"));
        let relative = |path: PathBuf| {
            let path = path.strip_prefix(self.path()).expect("inside");
            path.to_owned()
        };
        [PathBuf::from("main.c")]
            .into_iter()
            .chain(inner.map(relative))
            .collect()
    }

    fn compile(&self, source: &Path) {
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(self.path()).args(FLAGS).arg("-c");
        let object = source.with_extension("o");
        run(clang
            .arg(source)
            .arg("-o")
            .arg(object.file_name().expect("a name")));
    }

    /// A copy with one text replaced.
    fn edited(&self, file: &str, from: &str, to: &str) -> Self {
        let copy = Self(TempDir::new().expect("a directory"));
        run(std::process::Command::new("cp")
            .args(["-a", "."])
            .arg(copy.path())
            .current_dir(self.path()));
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).expect("a text");
        assert!(text.contains(from), "`{file}` has no `{from}`");
        fs::write(&path, text.replace(from, to)).expect("written");
        copy.compile(Path::new(file));
        copy
    }

    fn program(&self) -> Program {
        let sources = self.sources();
        let modules = sources.iter().map(|source| {
            let object = source.with_extension("o");
            self.path().join(object.file_name().expect("a name"))
        });
        Program {
            name: "edits".to_owned(),
            driver: "clang",
            modules: modules.collect(),
            files: Vec::new(),
            link_arguments: vec!["-O2".to_owned()],
            check: Some(Check {
                arguments: Vec::new(),
                says: "ok".to_owned(),
                dir: None,
            }),
        }
    }

    fn link(&self, switch: &str, home: &Home) -> Linked {
        let program = self.program();
        let outcome = Link::new(&program)
            .env("RELTO_SLICE_KEYS", switch)
            .keep_objects()
            .run_at(home)
            .expect_works();
        let counts = outcome.counts();
        Linked {
            objects: outcome.objects(),
            ran: counts.jobs - counts.cached,
        }
    }

    fn reference(&self) -> Vec<Vec<u8>> {
        let program = self.program();
        Link::reference(&program).keep_objects().run().objects()
    }
}
