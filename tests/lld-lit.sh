#!/usr/bin/env bash
# tests/lld-lit.sh [TEST...]: LLVM's own tests of ThinLTO in ld.lld (lld/test/ELF/lto), with `relto ld` in its place.
#
# Each test runs twice, with the linker itself and with relto in front of it; those that only pass without relto must stand
# in the table below, with the reason why they do not apply. The tests come out of Debian's source package and are not kept.
#
#   LLVM      the release: 19 (default), 22 or another one whose clang, lld and llvm are installed
#   LLD_TEST  a directory lld/test that is there already; nothing is fetched then
#   RELTO     the relto to use; default: target/debug/relto, built first
# Needed besides: llvm-22-tools or another release's (lit, FileCheck, not, split-file), deb-src packages in the archive.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
release=${LLVM:-19}
fail() { echo "lld-lit: $*" >&2; exit 1; }

# Tests that show how lld's own LTO works inside, which three steps do not have.
does_not_apply() {
  case $1 in
    # What it counts is one more: why the linker links alone, as it must for --save-temps and remarks.
    devirt_vcall_vis_localize.ll | devirt_vcall_vis_shared_def.ll) echo "counts the lines that the linker prints, and relto adds one" ;;
    *) return 1 ;;
  esac
}

relto=${RELTO:-}
if [ -z "$relto" ]; then
  (cd "$root" && cargo build --quiet --locked)
  relto=$(realpath "${CARGO_TARGET_DIR:-$root/target}/debug/relto")
fi
real=/usr/lib/llvm-$release/bin
[ -x "$real/ld.lld" ] && [ -x "$real/opt" ] && [ -x "$real/clang" ] || fail "clang-$release, lld-$release and llvm-$release are needed"
tools=$(ls -d /usr/lib/llvm-*/utils/lit | tail -1) || fail "no lit: install llvm-22-tools"
tools=${tools%/utils/lit}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fetch() {
  local apt=$dir/apt options
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
  # A release that is newer than the system comes with its security updates, whose sources a mirror may lack.
  sources '/debian(-security)?/? ' | download || sources '/debian/? [a-z]+$' | sed 's/ [a-z]*$/ sid/' | download || return 1
  tar xJf "$dir"/*.orig.tar.xz -C "$dir" --strip-components=1 --wildcards '*/lld/test/ELF/lto'
  rm "$dir"/*.orig.tar.xz
}

# The archives of Debian that the system uses, as far as their lines match.
sources() { apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | sort -u | grep -E "$1"; }

download() {
  sed 's|.*|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] & main|' >"$apt/sources.list"
  apt-get "${options[@]}" update &&
    (cd "$dir" && apt-get "${options[@]}" source --download-only --tar-only "llvm-toolchain-$release")
}

source=${LLD_TEST:-}
if [ -z "$source" ]; then
  fetch || fail "the source package of llvm-toolchain-$release cannot be fetched"
  source=$dir/lld/test
fi

# A configuration with what these tests need of LLVM's own.
cp -r "$source/ELF/lto" "$dir/tests"
cat >"$dir/tests/lit.cfg.py" <<'END'
import errno, lit.formats, os
config.name = "lld"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".ll", ".test"]
config.excludes = ["Inputs"]
config.test_exec_root = os.environ["OUT"]
config.environment["PATH"] = os.environ["TOOLS"]
for name in ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "RELTO_DAEMON", "RELTO_QUIET"]:
    config.environment[name] = os.environ[name]
config.environment["LLD_VERSION"] = "LLD 1.0"
config.available_features.update(["x86", "aarch64", "arm", "mips", "ppc", "riscv", "shell", "zlib", "zstd"])
for code in ["ENOENT", "EACCES", "EISDIR", "EINVAL"]:
    config.substitutions.append(("%errc_" + code, '"%s"' % os.strerror(getattr(errno, code))))
END

export HOME=$dir/home RELTO_DAEMON=off RELTO_QUIET=true
export XDG_CACHE_HOME=$HOME/cache XDG_STATE_HOME=$HOME/state XDG_CONFIG_HOME=$HOME/config
mkdir -p "$HOME" "$dir/relto"
printf '#!/bin/sh\nexec %q ld -- %q "$@"\n' "$relto" "$real/ld.lld" >"$dir/relto/ld.lld"
chmod +x "$dir/relto/ld.lld"

# lit's line for each test: `PASS: lld :: thinlto.ll (1 of 90)`.
run() {
  local name=$1 path=$2
  mkdir -p "$dir/out-$name"
  OUT=$dir/out-$name TOOLS=$path PYTHONPATH=$tools/utils/lit python3 -c 'from lit.main import main; main()' -v \
    "${tests[@]}" >"$dir/$name.log" 2>&1 || true
  sed -n 's/^\([A-Z]*\): lld :: \([^ ]*\) (.*/\2 \1/p' "$dir/$name.log" | sort >"$dir/$name.txt"
}

tests=("$dir/tests")
if [ $# -gt 0 ]; then
  tests=()
  for test in "$@"; do tests+=("$dir/tests/$test"); done
fi
run alone "$real:$tools/bin:/usr/bin:/bin"
run behind "$dir/relto:$real:$tools/bin:/usr/bin:/bin"
[ -s "$dir/alone.txt" ] || { tail -20 "$dir/alone.log" >&2; fail "lit ran no test"; }

bad=0 same=0 excused=0 unusable=0
while read -r test alone behind; do
  if [ "$alone" != PASS ]; then
    unusable=$((unusable + 1))
  elif [ "$behind" = PASS ]; then
    same=$((same + 1))
  elif reason=$(does_not_apply "$test"); then
    excused=$((excused + 1))
    echo "does not apply: $test: $reason"
  else
    bad=$((bad + 1))
    echo "FAILS ONLY BEHIND RELTO: $test"
    awk -v test="'lld :: $test' FAILED" 'index($0, test) { on = 1 } on; /^\*+$/ { on = 0 }' "$dir/behind.log" | tail -40
  fi
done < <(join "$dir/alone.txt" "$dir/behind.txt")
echo "LLVM $release: $same pass behind relto as alone, $excused do not apply, $bad fail; $unusable do not pass alone on this machine"
[ $bad = 0 ]
