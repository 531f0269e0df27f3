//! Real C programs out of crates that relto depends on: SQLite, one module of 9 MB of source, and
//! zstd, 30 modules.
//!
//! Their sources come out of cargo's own copy. A `main` of ours works each library hard enough that
//! a lost function shows.

use std::path::{Path, PathBuf};

use super::super::corpus::{Compile, cached, compile, crate_sources, files};
use super::{Program, strings};
use fs_err as fs;

pub(super) const SQLITE_MAIN: &str = r#"
#include <stdio.h>
#include <string.h>
#include "sqlite3.h"

static int failed(sqlite3 *db, const char *what) {
  fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
  return 1;
}

int main(void) {
  sqlite3 *db;
  sqlite3_stmt *row;
  if (sqlite3_open(":memory:", &db)) return failed(db, "open");
  const char *fill =
    "create table t(id integer primary key, word text, weight real);"
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)"
    " insert into t select i, printf('w%05d', (i * 7919) % 5000), i / 3.0 from n;"
    "create index w on t(word);"
    "update t set weight = weight * 2 where word like 'w001%';"
    "delete from t where id % 10 = 0;";
  if (sqlite3_exec(db, fill, 0, 0, 0)) return failed(db, "fill");
  const char *ask =
    "select count(*), min(word), max(word), cast(sum(weight) as integer),"
    " (select group_concat(word) from (select word from t order by word desc limit 3)) from t";
  if (sqlite3_prepare_v2(db, ask, -1, &row, 0)) return failed(db, "prepare");
  if (sqlite3_step(row) != SQLITE_ROW) return failed(db, "step");
  char line[200];
  snprintf(line, sizeof line, "%s %s %s %s", sqlite3_column_text(row, 0), sqlite3_column_text(row, 1),
           sqlite3_column_text(row, 2), sqlite3_column_text(row, 4));
  sqlite3_finalize(row);
  if (sqlite3_exec(db, "pragma integrity_check", 0, 0, 0)) return failed(db, "check");
  sqlite3_close(db);
  puts(strcmp(line, "4500 w00001 w04999 w04999,w04998,w04997") ? line : "ok");
  return 0;
}
"#;

const ZSTD_MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zstd.h"
#include "zdict.h"

static unsigned state = 1;
static unsigned next(void) { return state = state * 1664525u + 1013904223u; }

int main(void) {
  size_t size = 1 << 20, bound = ZSTD_compressBound(size);
  char *plain = malloc(size), *packed = malloc(bound), *back = malloc(size);
  for (size_t i = 0; i < size; i++) plain[i] = "abcdefgh"[(next() >> 24) % (1 + i % 8)];
  for (int level = -3; level <= 15; level += 3) {
    size_t n = ZSTD_compress(packed, bound, plain, size, level);
    if (ZSTD_isError(n) || n >= size) { printf("level %d: %s\n", level, ZSTD_getErrorName(n)); return 1; }
    memset(back, 0, size);
    size_t m = ZSTD_decompress(back, size, packed, n);
    if (m != size || memcmp(plain, back, size)) { printf("level %d: another text\n", level); return 1; }
  }
  size_t samples[256], dictionary = 1 << 14;
  for (int i = 0; i < 256; i++) samples[i] = size / 256;
  size_t made = ZDICT_trainFromBuffer(packed, dictionary, plain, samples, 256);
  if (ZDICT_isError(made)) { puts(ZDICT_getErrorName(made)); return 1; }
  packed[size / 4] ^= 1;
  puts("ok");
  return 0;
}
"#;

/// SQLite as one large module and a small one that asks it questions.
pub fn sqlite() -> Program {
    let source = crate_sources("libsqlite3-sys").join("sqlite3");
    let flags = strings(&[
        "-O2",
        "-flto=thin",
        "-w",
        "-DSQLITE_OMIT_LOAD_EXTENSION",
        "-DSQLITE_THREADSAFE=0",
    ]);
    let sources = vec![source.join("sqlite3.c")];
    let modules = built("sqlite", SQLITE_MAIN, sources, &flags, &[&source]);
    Program {
        link_arguments: strings(&["-O2", "-lm"]),
        ..Program::c("sqlite", modules)
    }
}

/// zstd's library without its assembly, and a `main` that packs and unpacks a megabyte at several
/// levels.
pub fn zstd() -> Program {
    let library = crate_sources("zstd-sys").join("zstd/lib");
    let flags = strings(&[
        "-O2",
        "-flto=thin",
        "-w",
        "-DZSTD_DISABLE_ASM",
        "-DXXH_NAMESPACE=ZSTD_",
    ]);
    let dirs = ["common", "compress", "decompress", "dictBuilder"];
    let sources = dirs
        .iter()
        .flat_map(|name| files(&library.join(name), "c"))
        .collect();
    let modules = built("zstd", ZSTD_MAIN, sources, &flags, &[&library]);
    Program::c("zstd", modules)
}

/// Compiles `main` and `sources` once a machine. The crate's directory name holds its version.
fn built(
    name: &str,
    main: &str,
    sources: Vec<PathBuf>,
    flags: &[String],
    includes: &[&Path],
) -> Vec<PathBuf> {
    let recipe = format!("{main}\n{sources:?}\n{flags:?}");
    let dir = cached(name, &recipe, |dir| {
        fs::write(dir.join("main.c"), main).expect("written");
        let all = [vec![dir.join("main.c")], sources].concat();
        let steps = all.into_iter().map(|source| Compile {
            object: dir
                .join(source.file_name().expect("a file"))
                .with_extension("o"),
            source,
        });
        let include = includes.iter().map(|path| format!("-I{}", path.display()));
        let arguments: Vec<_> = flags.iter().cloned().chain(include).collect();
        compile("clang", &arguments, steps.collect());
    });
    main_first(files(&dir, "o"))
}

/// Link order with the module `main.o` first, the others by name.
pub(super) fn main_first(mut modules: Vec<PathBuf>) -> Vec<PathBuf> {
    modules.sort_by_key(|path| (!path.ends_with("main.o"), path.clone()));
    modules
}
