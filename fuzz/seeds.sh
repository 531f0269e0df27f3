#!/bin/sh
# Makes the corpora that the fuzz targets start from: shards and modules of a small program, and those of the unit tests.
# usage: fuzz/seeds.sh [CLANG [LLD]]
set -eu
clang=${1:-clang-22} lld=${2:-ld.lld-22}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > a.c <<'C'
int shared(int); static int cells[4] = { 1, 2 };
int twice(int x) { return 2 * x + cells[x & 3]; }
int again(int x) __attribute__((alias("twice")));
int main(int argc, char **argv) { return shared(argc) + again(argc); }
C
cat > b.c <<'C'
int twice(int); static int cells[4] = { 3 };
int shared(int x) { return twice(x + 1) + cells[x & 3]; }
C
for name in a b; do
    "$clang" -c -O2 -flto=thin "$name.c" -o "$name.o"
    "$clang" -c -O2 -flto=thin -target x86_64-apple-macosx "$name.c" -o "$name.wrapped.o" 2>/dev/null || true
done
"$lld" --thinlto-index-only -e main -o app a.o b.o
for target in index_parse index_rewrite; do
    mkdir -p "$here/corpus/$target"
    cp ./*.thinlto.bc "$here"/../src/thinlto/testdata/*.bc "$here/corpus/$target"
done
mkdir -p "$here/corpus/module_facts"
for object in ./*.o; do cp "$object" "$here/corpus/module_facts"; done
