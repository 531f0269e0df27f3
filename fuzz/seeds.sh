#!/bin/sh
# Makes the corpora that the fuzz targets start from: shards, modules and objects of a small program, those of the unit tests,
# and texts of each kind. What is in a corpus already stays.
# usage: fuzz/seeds.sh [CLANG [LLD]]
set -eu
clang=${1:-clang-22} lld=${2:-ld.lld-22} ar=llvm-ar-22
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
__attribute__((noinline)) static int local(int x) { return cells[x & 3]++; }
int shared(int x) { return twice(x + 1) + local(x); }
C
for name in a b; do
    "$clang" -c -O2 -flto=thin "$name.c" -o "$name.o"
    "$clang" -c -O2 -flto=thin -target x86_64-apple-macosx "$name.c" -o "$name.wrapped.o" 2>/dev/null || true
done
"$lld" --thinlto-index-only -e main -o app a.o b.o
for name in a b; do
    "$clang" -c -O2 -x ir "$name.o" -fthinlto-index="$name.o.thinlto.bc" -o "$name.native.o"
done

seeds() { # seeds TARGET FILE...
    mkdir -p "$here/corpus/$1"
    target=$1
    shift
    for file; do
        kept=$here/corpus/$target/$(basename "$file")
        [ -e "$kept" ] || cp "$file" "$kept"
    done
}
text() { # text TARGET NAME TEXT
    printf -- "$3" > "$2"
    seeds "$1" "$2"
}
for target in index_parse index_rewrite; do
    seeds "$target" ./*.thinlto.bc "$here"/../src/thinlto/testdata/*.bc
done
for target in module_facts module_graph; do seeds "$target" a.o b.o ./*.wrapped.o; done
seeds restore a.native.o b.native.o
seeds elf a.native.o /bin/true "$(ldconfig -p 2>/dev/null | sed -n 's/.*libz.so.* => //p' | head -n 1)" 2>/dev/null || true
"$ar" rcs plain.a a.o b.o
"$ar" rcsT thin.a a.o b.o
"$ar" --format=bsd rcs bsd.a a.o a.native.o
seeds archive plain.a thin.a bsd.a
text job_file link.json '{"common":{"linker_output":"app","args":["/bin/clang","-c"],"inputs":["p"]},"jobs":[{"args":["a.o","-fthinlto-index=a.o.thinlto.bc","-o","a.1.o"],"inputs":["a.o","a.o.thinlto.bc","b.o"],"outputs":["a.1.o"]}]}'
text config_file tree.toml ' jobs = 4\nstrategy = "dynamic"\nremote_executor = "grpc://f:1"\nremote_header = ["a=b"]\n[config.x]\nremote_timeout = "3s"\nconfig = ["x"]\n'
text config_file user.toml '!disk_cache = "~/c"\nverify = 2\nconfig = "x"\nremote_header = { a = "${HOME}" }\n[config.x]\nprofile = "p.json"\ncredential_helper = "*.x=/h"\n'
text bazelrc rc '# c\nbuild --remote_executor=grpc://f:1 --jobs=3\ntry-import %%workspace%%/more\nbuild:a --remote_cache=x \\\n --config=b\ncommon --noremote_accept_cached\000build --tls_certificate %%workspace%%/c\nimport f\nbuild:b --remote_header=a=b\n'
text ld_so_conf conf '/a # x\ninclude d/*.conf\ninclude c\nhwcap 1 x\n/y:/z,/w=libc6\000/one\ninclude ../c\n'
mkdir -p dir.a/glibc-hwcaps/x86-64-v3
"$clang" -shared -nostdlib -Wl,-soname,libx.so -x c /dev/null -o dir.a/libx.so
cp dir.a/libx.so dir.a/glibc-hwcaps/x86-64-v3/
for format in new old compat; do
    /sbin/ldconfig -X -f /dev/null -c "$format" -C "$format.cache" "$PWD/dir.a" 2>/dev/null || true
    if [ -e "$format.cache" ]; then seeds ld_so_cache "$format.cache"; fi
done
text words line '-O2 @a "x \\"y" '"'z'"' -c -target x -fsave-optimization-record=yaml -gsplit-dwarf -mllvm -x\n# c \\\n d'
text farm_result result '\001\022\021\012\013relto/out.o\052\002\177E\040\000'
