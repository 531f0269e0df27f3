/* A program that needs both libraries: keeps packed texts in a database and reads them back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite3.h"
#include "zstd.h"

enum { ROWS = 2000, LENGTH = 3000 };

static char text[LENGTH];

static void write_text(unsigned seed) {
  for (int i = 0; i < LENGTH; i++) {
    seed = seed * 1664525u + 1013904223u;
    text[i] = "the quick brown fox "[(seed >> 20) % (unsigned)(2 + i % 18)];
  }
}

static void stop(const char *what) {
  fprintf(stderr, "quickstart: %s\n", what);
  exit(1);
}

int main(void) {
  sqlite3 *db;
  sqlite3_stmt *put, *get;
  char packed[2 * LENGTH], plain[LENGTH];
  size_t stored = 0;
  int rows = 0;

  if (sqlite3_open(":memory:", &db) || sqlite3_exec(db, "create table t(id integer primary key, z blob)", 0, 0, 0))
    stop(sqlite3_errmsg(db));
  sqlite3_prepare_v2(db, "insert into t values(?, ?)", -1, &put, 0);
  for (int id = 0; id < ROWS; id++) {
    write_text((unsigned)id);
    size_t size = ZSTD_compress(packed, sizeof packed, text, LENGTH, 1 + id % 19);
    if (ZSTD_isError(size)) stop(ZSTD_getErrorName(size));
    sqlite3_bind_int(put, 1, id);
    sqlite3_bind_blob(put, 2, packed, (int)size, SQLITE_TRANSIENT);
    if (sqlite3_step(put) != SQLITE_DONE) stop(sqlite3_errmsg(db));
    sqlite3_reset(put);
    stored += size;
  }
  sqlite3_prepare_v2(db, "select id, z from t order by id desc", -1, &get, 0);
  while (sqlite3_step(get) == SQLITE_ROW) {
    write_text((unsigned)sqlite3_column_int(get, 0));
    size_t size = ZSTD_decompress(plain, LENGTH, sqlite3_column_blob(get, 1), (size_t)sqlite3_column_bytes(get, 1));
    if (size != LENGTH || memcmp(plain, text, LENGTH)) stop("another text came back");
    rows++;
  }
  if (rows != ROWS) stop("rows are missing");
  printf("%d texts of %d bytes, %zu bytes packed, all came back\n", ROWS, LENGTH, stored);
  return 0;
}
