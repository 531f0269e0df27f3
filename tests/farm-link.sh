#!/usr/bin/env bash
# tests/farm-link.sh: links a program on the farm that RELTO_REMOTE_EXECUTOR and its like name, and checks all of it:
# every job ran there, the program works, each object is the one that clang writes in place, a second link finds all.
#
#   RELTO   the relto to use; default: target/debug/relto, built first
#   CLANG   the compiler, of LLVM 21 or later with its lld; default: the newest of clang-24 to clang-21, or clang
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "farm-link: $*" >&2; exit 1; }
[ -n "${RELTO_REMOTE_EXECUTOR:-}" ] || fail "RELTO_REMOTE_EXECUTOR names no farm"

relto=${RELTO:-}
if [ -z "$relto" ]; then
  (cd "$root" && cargo build --quiet --locked)
  relto=$(realpath "${CARGO_TARGET_DIR:-$root/target}/debug/relto")
fi
clang=${CLANG:-}
for name in clang-24 clang-23 clang-22 clang-21 clang; do
  [ -n "$clang" ] || clang=$(command -v "$name" || true)
done
[ -n "$clang" ] || fail "no clang: install clang-22 and lld-22"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# Nothing of this machine answers for the farm or stands in for it, and nobody else's results are found.
export RELTO_DISK_CACHE=off RELTO_REMOTE_LOCAL_FALLBACK=false XDG_CACHE_HOME=$dir/cache XDG_CONFIG_HOME=$dir/config
export RELTO_CACHE_SALT="farm-link $(date +%s) $$"

modules=24
for n in $(seq $modules); do
  cat >"m$n.c" <<SOURCE
static unsigned mix$n(unsigned a) { for (int i = 0; i < $n + 3; i++) a = a * 1664525u + (a >> $((n % 13 + 1))); return a; }
unsigned step$(((n + 1) % (modules + 1)))(unsigned);
unsigned step$n(unsigned a) { return a & 1 ? mix$n(a) : mix$n(a + $n) ^ step$(((n + 1) % (modules + 1)))(a >> 1); }
SOURCE
done
cat >main.c <<'SOURCE'
#include <stdio.h>
unsigned step0(unsigned a) { return a; }
unsigned step1(unsigned);
int main(void) { unsigned sum = 0; for (unsigned i = 0; i < 1000; i++) sum += step1(i * 2654435761u); printf("%08x\n", sum); }
SOURCE
mkdir here
(cd here && "$clang" -O2 -flto=thin -c ../*.c)
cp -r here there
"$clang" -flto=thin -fuse-ld=lld here/*.o -o expected

echo "relto doctor says of this farm:"
"$relto" doctor "$clang" | sed -n '/^Toolchain/,$s/^/  /p'

link() { # link DIR WORD: links the modules in DIR; all jobs must be WORD
  cd "$dir/$1"
  local modules=(*.o) line
  "$clang" -flto=thin -fuse-ld=lld -Wl,--save-temps -fthinlto-distributor="$relto" "${modules[@]}" -o program 2>log ||
    { cat log >&2; fail "the link fails"; }
  line=$(grep '^relto: [0-9]* jobs' log) || { cat log >&2; fail "no summary"; }
  echo "$line"
  [[ $line =~ ^relto:\ ([0-9]+)\ jobs,\ ([0-9]+)\ $2[:,] ]] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ] ||
    { cat log >&2; fail "not all jobs are $2"; }
  [ "$(./program)" = "$(../expected)" ] || fail "the program does not work"
}

rm -rf "$dir/cache"
link here remote
python3 - <<'CHECK'
import glob, json, subprocess, sys
[name] = glob.glob("program*.dist-file.json")
link = json.load(open(name))
for job in link["jobs"]:
    words = link["common"]["args"] + job["args"]
    words[words.index("-o") + 1] = "in-place.o"
    subprocess.run(words, check=True)
    if open("in-place.o", "rb").read() != open(job["outputs"][0], "rb").read():
        sys.exit(f"farm-link: the object of {job['inputs'][0]} is not the one that clang writes in place")
print(f"{len(link['jobs'])} objects are the ones that clang writes in place, bit by bit")
CHECK
rm -rf "$dir/cache" # as on another machine, in another directory
link there cached
