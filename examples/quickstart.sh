#!/usr/bin/env bash
# examples/quickstart.sh: see relto work. For a Debian 12 with Rust; needs nothing else but apt and cargo.
#
# Installs clang-22 and lld-22 if they are missing, builds relto, compiles SQLite and zstd (cargo has their sources: relto
# uses both itself) to ThinLTO bitcode and links them into one program, three times, and once more after an edit. The program runs
# after each link.
#
#   QUICKSTART_SOURCES  directory with `sqlite3` and `zstd` of these sources, for a machine without cargo
#   QUICKSTART_DIR      where objects and caches go; default: a new directory under /tmp, removed at the end
#   RELTO               a relto that is built already, or installed
#   RELTO_REMOTE_EXECUTOR and all the other settings of relto are heeded: give a farm, and the farm does the work
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { echo "quickstart: $*" >&2; exit 1; }
[ -n "${QUICKSTART_SOURCES:-}" ] && [ -n "${RELTO:-}" ] || command -v cargo >/dev/null ||
  fail "no cargo: install Rust with rustup first"

missing=()
command -v clang-22 >/dev/null || missing+=(clang-22)
command -v ld.lld-22 >/dev/null || missing+=(lld-22)
command -v cc >/dev/null || missing+=(build-essential)
if [ ${#missing[@]} -gt 0 ]; then
  say "Installing ${missing[*]}"
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get -qq update
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" libc6-dev >/dev/null
fi

# lld starts the distributor from another directory, and does not look in PATH
if [ -n "${RELTO:-}" ]; then
  relto=$(command -v "$RELTO") || fail "\`$RELTO\` is not there"
  relto=$(realpath "$relto")
else
  say "Building relto (two or three minutes the first time)"
  (cd "$here" && cargo build --release --locked)
  relto=$(cd "$here" && realpath "${CARGO_TARGET_DIR:-target}/release/relto")
fi

if [ -n "${QUICKSTART_SOURCES:-}" ]; then
  given=$(realpath "$QUICKSTART_SOURCES")
  zstd=$given/zstd/lib sqlite=$given/sqlite3
else
  host=$(cd "$here" && rustc -vV | sed -n 's/^host: //p')
  # cargo metadata tells where the sources of a dependency lie
  crate() {
    (cd "$here" && cargo metadata --format-version 1 --locked --filter-platform "$host") | tr ',' '\n' |
      sed -n "s|.*\"manifest_path\":\"\(.*/$1-[0-9][^/]*\)/Cargo.toml\".*|\1|p" | head -n 1
  }
  zstd=$(crate zstd-sys)/zstd/lib
  sqlite=$(crate libsqlite3-sys)/sqlite3
fi
[ -e "$zstd/zstd.h" ] && [ -e "$sqlite/sqlite3.c" ] || fail "the sources of zstd and SQLite are not there"

if [ -n "${QUICKSTART_DIR:-}" ]; then
  mkdir -p "$QUICKSTART_DIR"; dir=$(realpath "$QUICKSTART_DIR")
else
  dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
fi
cd "$dir"
export XDG_CACHE_HOME=$dir/cache # so that the first link finds nothing of an earlier run
rm -rf cache; mkdir -p cache objects

sources=("$here/examples/quickstart.c" "$sqlite/sqlite3.c" "$zstd"/{common,compress,decompress,dictBuilder}/*.c)
say "Compiling ${#sources[@]} files of C: clang -O2 -flto=thin -c"
compile=(clang-22 -O2 -flto=thin -w -DZSTD_DISABLE_ASM -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_THREADSAFE=0
  -I"$zstd" -I"$zstd/common" -I"$sqlite")
printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -I{} sh -c '
  source=$1; shift; "$@" -c "$source" -o "objects/$(basename "$source" .c).o"' sh {} "${compile[@]}"

seconds() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", b - a}'; }
link() { # link NAME INPUT...
  local name=$1 begin; shift
  begin=$(date +%s.%N)
  clang-22 -O2 -flto=thin -fuse-ld=lld-22 -fthinlto-distributor="$relto" "$@" -lm -o "$name"
  printf '  the whole link took %s s; the program says: %s\n' "$(seconds "$begin" "$(date +%s.%N)")" "$("./$name")"
}

say "First link: nothing is known, every backend job is compiled"
echo "  clang-22 -O2 -flto=thin -fuse-ld=lld-22 -fthinlto-distributor=$relto objects/*.o -lm -o first"
link first objects/*.o
say "Second link: lld asks for the same jobs under other names, relto knows them"
link second objects/*.o
say "Third link: the same modules from another directory, by absolute paths; still the same jobs"
rm -rf elsewhere; cp -r objects elsewhere
link third "$PWD"/elsewhere/*.o
say "Fourth link: one file has another function; the modules that import from it cannot see that"
{ cat "$zstd/common/zstd_common.c"; echo 'int quickstart_edit(void) { return 42; }'; } >zstd_common.c
"${compile[@]}" -c zstd_common.c -o objects/zstd_common.o
link fourth objects/*.o

cmp -s first second && cmp -s first third || fail "links of the same modules differ"
say "Done: the programs of the first three links are identical to the last byte"
