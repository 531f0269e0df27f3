//! zstd, 31 modules of C, out of a crate that relto depends on.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::super::corpus::{crate_sources, files};
use super::{Check, Edit, EditedProgram, Recipe};

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

const EDITS: [Edit; 10] = [
    Edit {
        name: "a message",
        file: "common/error_private.c",
        from: "Unspecified error code",
        to: "Unknown error code",
    },
    Edit {
        name: "a function more",
        file: "common/zstd_common.c",
        from: "unsigned ZSTD_versionNumber(void)",
        to: "int ZSTD_new(int x) { return x * 3; }\nunsigned ZSTD_versionNumber(void)",
    },
    Edit {
        name: "a result",
        file: "common/zstd_common.c",
        from: "return ZSTD_VERSION_NUMBER;",
        to: "return ZSTD_VERSION_NUMBER + 1;",
    },
    Edit {
        name: "a check",
        file: "common/entropy_common.c",
        from: "if (bitCount > 32)",
        to: "if (bitCount > 31)",
    },
    Edit {
        name: "a threshold",
        file: "compress/hist.c",
        from: "sourceSize < 1500",
        to: "sourceSize < 1600",
    },
    Edit {
        name: "a constant",
        file: "compress/zstd_preSplit.c",
        from: "#define THRESHOLD_PENALTY 3",
        to: "#define THRESHOLD_PENALTY 4",
    },
    Edit {
        name: "a step",
        file: "compress/zstd_lazy.c",
        from: "#define kLazySkippingStep 8",
        to: "#define kLazySkippingStep 9",
    },
    Edit {
        name: "an error's number",
        file: "compress/zstd_compress.c",
        from: "if (r==0) return ERROR(srcSize_wrong);",
        to: "if (r==0) return ERROR(GENERIC);",
    },
    Edit {
        name: "a queue's size",
        file: "common/pool.c",
        from: "return POOL_create_advanced(numThreads, queueSize, ZSTD_defaultCMem);",
        to: "return POOL_create_advanced(numThreads, queueSize + 1, ZSTD_defaultCMem);",
    },
    Edit {
        name: "a multiplier",
        file: "compress/zstd_opt.c",
        from: "BITCOST_ACCURACY 8",
        to: "BITCOST_ACCURACY 7",
    },
];

pub(super) fn zstd() -> EditedProgram {
    let library = crate_sources("zstd-sys").join("zstd/lib");
    let recipe = Recipe {
        name: "zstd",
        edits: &EDITS,
        driver: "clang",
        flags: &FLAGS,
        link_arguments: &["-O2"],
        check: Some(Check {
            arguments: Vec::new(),
            says: "ok".to_owned(),
            dir: None,
        }),
        version: format!("{}\n{MAIN}", library.display()),
    };
    recipe.make(|dir| fill(&library, dir))
}

/// Copies the sources. Returns those that become modules.
fn fill(library: &Path, dir: &Path) -> Vec<PathBuf> {
    let mut modules = vec![PathBuf::from("main.c")];
    fs::write(dir.join("main.c"), MAIN).expect("written");
    for part in [""].iter().chain(&DIRS) {
        fs::create_dir_all(dir.join(part)).expect("made");
        for extension in ["c", "h"] {
            for file in files(&library.join(part), extension) {
                let name = Path::new(part).join(file.file_name().expect("a file"));
                fs::copy(&file, dir.join(&name)).expect("copied");
                if extension == "c" {
                    modules.push(name);
                }
            }
        }
    }
    modules
}
