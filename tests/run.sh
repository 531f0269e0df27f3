#!/usr/bin/env bash
# tests/run.sh [--long]: everything that must pass before a change goes in, on a Debian 12 with Rust (rustup).
#
# Installs the Debian packages that are missing, builds, lints and runs all tests. --long adds the campaigns that take
# hours of processor time in all: many random programs, real kernels, more servers, and fuzzing where cargo-fuzz is there.
# Each campaign goes on where its last run stopped, for RELTO_CAMPAIGN_SECONDS (900); `tests/campaigns.py` adds up their runs.
#
# Real servers are used where a variable names a program that starts one; without it their tests are skipped, counted and
# listed at the end, with all others that could not run:
#   RELTO_TEST_CASD, _JUST, _BUILDBARN, _BAZEL_REMOTE, _NATIVELINK, _BUILDGRID: called as `PROGRAM PORT DIR`
#   RELTO_TEST_LINUX: directory with `get-linux.sh` and `configure.sh`     RELTO_TEST_LLVM_ROOT: directory above bin/clang
#   RELTO_TEST_CHROOT: root directory of a Debian with clang-N, lld-N, llvm-N of other releases, python3 (needs root)
#   BUILDBARN_PROGRAMS: directory with bb_storage, bb_scheduler, bb_worker, bb_runner, for examples/buildbarn
# RELTO_TEST_REQUIRE=casd,buildbarn: a server in this list that is missing is a failure, not a skip.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --long) export RELTO_TEST_LONG=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "tests/run.sh: unknown argument \`$1\`" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

step=start
trap 'code=$?; [ $code = 0 ] || echo "tests/run.sh: failed at: $step" >&2' EXIT
begin() { step=$1; printf '\n== %s (%d s so far)\n' "$1" "$SECONDS"; }

# --- what the machine needs

packages=(automake bc bison build-essential chromium clang-22 lld-22 llvm-22 bubblewrap busybox-static ca-certificates cmake curl file
  flex fonts-dejavu-core gdb libelf-dev libssl-dev libstdc++-12-dev libtool make meson nginx-light ninja-build openssl python3 time xz-utils)
# What the recipes of docs/builds.md name besides.
packages+=(ccache debhelper fakeroot libclang-rt-22-dev sccache)
# Programs of WebAssembly.
packages+=(libc++-22-dev-wasm32 libc++abi-22-dev-wasm32 libclang-rt-22-dev-wasm32 nodejs wasi-libc)
[ "$(uname -m)" != x86_64 ] || packages+=(libc6-dev-arm64-cross libgcc-12-dev-arm64-cross qemu-user-static)
command -v pip >/dev/null || packages+=(python3-pip)
[ -z "${RELTO_TEST_LONG:-}" ] || packages+=(clang debootstrap llvm postgresql python3-venv)

install_missing() {
  local missing=() package as_root=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "not root and no sudo: install ${missing[*]} first" >&2; return 1; }
    as_root=(sudo)
  fi
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  "${get[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; }
}

begin "what the machine needs"
command -v dpkg-query >/dev/null || { echo "not a Debian: install ${packages[*]} by hand, then run the cargo commands below" >&2; exit 1; }
install_missing
command -v cargo >/dev/null || { echo "no cargo: install Rust with rustup first" >&2; exit 1; }

if [ -n "${RELTO_TEST_LONG:-}" ] && command -v rustup >/dev/null; then
  begin "rustc with LLVM 21, 22 and 23" # the campaign on slice keys compares their modules
  for release in 1.92.0 1.99.1; do
    rustup --quiet toolchain install "$release" --profile minimal --no-self-update || echo "no rustc $release"
    rustup --quiet target add --toolchain "$release" aarch64-unknown-linux-gnu || echo "no libraries of rustc $release for aarch64"
  done
  rustup --quiet target add aarch64-unknown-linux-gnu || echo "no libraries of Rust for aarch64"
fi

# --- servers: what is named, what lies beside the repository, what is missing

beside=../shared
offer() { # offer NAME PATH: unless the user has said something else
  local variable=RELTO_TEST_$1 path=$beside/$2
  [ -n "${!variable:-}" ] || { [ -e "$path" ] && export "$variable=$(realpath "$path")"; } || true
}
begin "servers"
offer CASD servers/start-casd.sh
offer JUST servers/start-just.sh
# These need programs that no package has: they are offered where somebody has put them.
kept=${XDG_CACHE_HOME:-$HOME/.cache}/relto-test
if [ -z "${BUILDBARN_PROGRAMS:-}" ] && [ -x "$kept/buildbarn/bb_worker" ]; then export BUILDBARN_PROGRAMS=$kept/buildbarn; fi
[ -z "${BUILDBARN_PROGRAMS:-}" ] || offer BUILDBARN buildbarn/start-plain.sh
[ ! -x "$kept/bazel-remote/bazel-remote" ] || offer BAZEL_REMOTE bazel-remote/start.sh
[ -z "${RELTO_TEST_LONG:-}" ] || offer BUILDGRID servers/start-buildgrid.sh # takes a minute to install
offer LINUX kernel
for name in CASD JUST BUILDBARN BAZEL_REMOTE NATIVELINK BUILDGRID LINUX LLVM_ROOT CHROOT; do
  variable=RELTO_TEST_$name
  if [ -n "${!variable:-}" ]; then echo "$variable=${!variable}"; else echo "$variable is not set"; fi
done
IFS=, read -ra required <<<"${RELTO_TEST_REQUIRE:-}"
for name in "${required[@]}"; do
  variable=RELTO_TEST_${name^^}
  [ -e "${!variable:-}" ] || { echo "$name is required, but $variable names nothing that exists" >&2; exit 1; }
done

# --- the code

begin "format"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
begin "scripts"
for script in tests/*.sh tests/servers/*.sh fuzz/*.sh packaging/*.sh .ci/run examples/*.sh; do bash -n "$script"; done
begin "lints"
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
begin "fuzz targets" # they are a workspace of their own; checking needs no libFuzzer
CUSTOM_LIBFUZZER_PATH=/dev/null cargo check --quiet --locked --manifest-path fuzz/Cargo.toml
begin "crate"
tests/packages.sh . the_crate_is_complete
begin "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --document-private-items
if command -v cargo-deny >/dev/null; then
  begin "dependencies"
  cargo deny --locked check
fi
begin "build"
cargo build --quiet --locked

# Tests that cannot run here append a line each, `TEST<tab>REASON`: libtest counts them as passed, this script does not.
export RELTO_TEST_SKIPS
RELTO_TEST_SKIPS=$(mktemp)

begin "farm example"
if [ -n "${BUILDBARN_PROGRAMS:-}" ]; then
  BUILDBARN_PLAIN=1 tests/buildbarn-example.sh
else
  printf 'tests/buildbarn-example.sh\t`BUILDBARN_PROGRAMS` names no programs\n' | tee -a "$RELTO_TEST_SKIPS.scripts"
fi

if [ -n "${RELTO_TEST_LONG:-}" ]; then
  begin "packages"
  tests/packages.sh
fi

begin "tests"
log=$(mktemp)
code=0
# A shell's background job ignores these signals, and so would all that tests interrupt.
env --default-signal=HUP,INT,QUIT cargo test --locked --no-fail-fast 2>&1 | tee "$log" || code=$?
sum() { sed -n "s/^test result: .* \([0-9]*\) $1;.*/\1/p" "$log" | awk '{n += $1} END {print n + 0}'; }
# A test that failed after all stays with those that failed.
sort -u -t "$(printf '\t')" -k 1,1 "$RELTO_TEST_SKIPS" | awk -F '\t' -v log_file="$log" '
  BEGIN { while ((getline line < log_file) > 0) if (line ~ /^test .* FAILED$/) { split(line, word, " "); failed[word[2]] = 1 } }
  !($1 in failed)' >"$log.skips"
skipped=$(wc -l <"$log.skips")
passed=$(($(sum passed) - skipped)) failed=$(sum failed)
[ ! -e "$RELTO_TEST_SKIPS.scripts" ] || cat "$RELTO_TEST_SKIPS.scripts" >>"$log.skips"
if [ -n "${RELTO_TEST_LONG:-}" ]; then
  begin "fuzzing"
  if command -v cargo-fuzz >/dev/null; then
    fuzz/campaign.sh "${RELTO_FUZZ_SECONDS:-200}" || fuzzed=FAILED
  else
    printf 'fuzz/campaign.sh\tcargo-fuzz is not installed\n' >>"$log.skips"
  fi
  begin "campaigns, all runs"
  tests/campaigns.py
fi
if [ -s "$log.skips" ]; then
  printf '\nskipped:\n'
  awk -F '\t' '{printf "  %s: %s\n", $1, $2}' "$log.skips"
fi
skipped=$(wc -l <"$log.skips")
rm -f "$log" "$log.skips" "$RELTO_TEST_SKIPS" "$RELTO_TEST_SKIPS.scripts"
printf '\n%d s in all\n' "$SECONDS"
if [ "$code" = 0 ] && [ "$failed" = 0 ] && [ -z "${fuzzed:-}" ] && [ "$passed" -gt 0 ]; then verdict=ok; else verdict=FAILED code=1; fi
echo "test result: $verdict. $passed passed; $failed failed; $skipped skipped"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$code"
