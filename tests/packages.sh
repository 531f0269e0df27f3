#!/usr/bin/env bash
# tests/packages.sh [DIR [CHECK...]]: checks the packages in DIR, as packaging/build.sh makes them. Without DIR it makes them
# first, with less optimisation than those of a release have. CHECK is a function below; default: all.
#
# - The crate holds all that its build needs.
# - The programs are static, know their commit, and hold no path of this machine; those of another machine run under qemu.
# - A static program works in a root directory that holds busybox and nothing else.
# - What cargo-binstall looks for is what there is.
# - The Debian package, installed in a fresh Debian 12, links what examples/quickstart.sh links.
# - The same commit, built in another directory, gives the same bytes (only without DIR, or if it is named).
#
# A check that cannot run here (no root, no debootstrap, no qemu) is skipped, and that is said; with
# RELTO_TEST_REQUIRE=packages it is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

say() { echo "packages: $*"; }
fail() { echo "packages: FAILED: $*" >&2; exit 1; }
skip() { # skip CHECK REASON
  say "skipped: $1: $2"
  [ -z "${RELTO_TEST_SKIPS:-}" ] || printf 'tests/packages.sh: %s\t%s\n' "$1" "$2" >>"$RELTO_TEST_SKIPS.scripts"
  [[ ,${RELTO_TEST_REQUIRE:-}, != *,packages,* ]] || fail "$1 is required"
}
work=$(mktemp -d)
mounted=()
clean() {
  local dir
  for dir in "${mounted[@]}"; do umount "$dir" || true; done
  rm -rf --one-file-system "$work"
}
trap clean EXIT

target_dir=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
dist=${1:-}
if [ -z "$dist" ]; then
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
  packaging/build.sh --out "$work/dist"
fi
dist=$(realpath "${dist:-$work/dist}")

# --- the crate

the_crate_is_complete() {
  cargo package --quiet --locked --allow-dirty --no-verify
  # Nothing but what is in it. Its files are of 2006: cargo would take the results of an earlier one for current.
  tar -C "$work" --touch -xzf "$target_dir/package/relto-$version.crate"
  (cd "$work/relto-$version" && cargo check --quiet --locked --target-dir "$target_dir")
  say "the crate builds from what is in it"
}

# --- the programs

unpack() { # unpack TARGET: the directory of its archive
  local name=relto-$version-$1
  [ -e "$work/$name" ] || tar -C "$work" -xzf "$dist/$name.tar.gz"
  echo "$work/$name"
}

the_programs_are_static_and_hold_no_paths() {
  local commit archive name program told run path
  commit=$(git log -1 --format=%H | cut -c 1-10)
  (cd "$dist" && sha256sum --quiet --check SHA256SUMS) || fail "the checksums"
  for archive in "$dist"/relto-"$version"-*.tar.gz; do
    name=$(basename "$archive" .tar.gz)
    tar -C "$work" -xzf "$archive"
    program=$work/$name/relto
    python3 - "$program" <<'PY' || fail "$name needs a dynamic loader"
import struct, sys
data = open(sys.argv[1], "rb").read()
start, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
interpreter = 3
sys.exit(any(struct.unpack_from("<I", data, start + size * n)[0] == interpreter for n in range(count)))
PY
    for path in "$HOME" "$root" "$target_dir" "${CARGO_HOME:-$HOME/.cargo}" /rustlib/; do
      ! grep -qaF "$path/" "$program" || fail "$name holds \`$path\`"
    done
    run=()
    case $name in
      *-"$(uname -m)"-*) ;;
      *aarch64*) run=(qemu-aarch64-static) ;;
      *x86_64*) run=(qemu-x86_64-static) ;;
    esac
    if [ ${#run[@]} -gt 0 ] && ! command -v "${run[0]}" >/dev/null; then
      skip "$name runs" "\`${run[0]}\` is not installed"
      continue
    fi
    told=$("${run[@]}" "$program" --version)
    [[ $told == "relto $version ($commit "????-??-??")"* ]] || fail "$name says: $told"
    # A whole command, with the database and the allocator in it.
    HOME=$work/home "${run[@]}" "$program" stats >/dev/null || fail "$name does not run"
    say "$name: static, without paths of this machine: $(head -n 1 <<<"$told")"
  done
}

cargo_binstall_finds_them() {
  python3 - "$dist" "$version" <<'PY' || fail "cargo-binstall would not find the archives"
import os, sys, tarfile, tomllib
dist, version = sys.argv[1:]
package = tomllib.load(open("Cargo.toml", "rb"))["package"]
table = package["metadata"]["binstall"]
for machine in ("x86_64", "aarch64"):
    for libc in ("gnu", "musl"):
        target = f"{machine}-unknown-linux-{libc}"
        chosen = table | table["overrides"].get(target, {})
        def expanded(text):
            values = {"repo": package["repository"], "version": version, "target": target, "bin": "relto"}
            for name, value in values.items():
                text = text.replace("{ %s }" % name, value)
            return text
        archive = os.path.join(dist, os.path.basename(expanded(chosen["pkg-url"])))
        if os.path.exists(archive):
            tarfile.open(archive).getmember(expanded(chosen["bin-dir"]))
        elif target.startswith(os.uname().machine):
            sys.exit(archive)
PY
  say "cargo-binstall finds its archives"
}

a_directory_with_busybox_is_enough() {
  local program jail=$work/jail
  [ "$(id -u)" = 0 ] || { skip "busybox alone" "needs root for chroot"; return; }
  [ -x /bin/busybox ] || { skip "busybox alone" "\`busybox-static\` is not installed"; return; }
  program=$(unpack "$(uname -m)-unknown-linux-musl")/relto
  mkdir -p "$jail/bin" "$jail/tmp"
  cp /bin/busybox "$program" "$jail/bin"
  ln -s busybox "$jail/bin/sh"
  chroot "$jail" /bin/sh -euc '
    export HOME=/tmp PATH=/bin
    relto --version
    relto config >/tmp/config
    relto stats
    busybox grep -q disk_cache /tmp/config
    code=0; relto doctor >/tmp/doctor 2>&1 || code=$?
    [ "$code" = 1 ]; busybox grep -q clang /tmp/doctor' >"$work/told" 2>&1 || { cat "$work/told" >&2; fail "the program in a directory with busybox alone"; }
  say "the static program runs beside busybox alone"
}

# --- the Debian package

the_package_links_in_a_fresh_debian() {
  local system=$work/debian package sources=$work/sources crates
  [ "$(id -u)" = 0 ] || { skip "fresh Debian" "needs root for chroot"; return; }
  command -v debootstrap >/dev/null || { skip "fresh Debian" "\`debootstrap\` is not installed"; return; }
  package=$dist/relto_${version}_$(dpkg --print-architecture).deb
  debootstrap --variant=minbase --include=ca-certificates bookworm "$system" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 5 "$work/debootstrap.log" >&2; skip "fresh Debian" "debootstrap failed"; return; }
  # clang-22 comes as a security update.
  echo "deb http://deb.debian.org/debian-security bookworm-security main" >>"$system/etc/apt/sources.list"
  mount -t proc proc "$system/proc" && mounted+=("$system/proc")
  crates=$(cargo metadata --format-version 1 --locked | tr ',' '\n' | sed -n 's|.*"manifest_path":"\(.*\)/Cargo.toml".*|\1|p')
  mkdir -p "$system/relto/sources"
  cp -r "$(grep '/zstd-sys-' <<<"$crates" | head -n 1)/zstd" "$(grep '/libsqlite3-sys-' <<<"$crates" | head -n 1)/sqlite3" "$system/relto/sources"
  cp -r examples "$package" "$system/relto"
  chroot "$system" /bin/bash -euo pipefail >"$work/told" 2>&1 <<CHROOT || { tail -n 40 "$work/told" >&2; fail "the Debian package in a fresh Debian"; }
    export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends clang-22 lld-22 libc6-dev libgcc-12-dev man-db bash-completion >/dev/null
    apt-get -qq install -y "/relto/$(basename "$package")" >/dev/null
    relto --version
    man --where relto relto-cc
    gzip -t /usr/share/man/man1/relto.1.gz
    . /usr/share/bash-completion/bash_completion && _completion_loader relto && complete -p relto
    for file in zsh/vendor-completions/_relto fish/vendor_completions.d/relto.fish doc/relto/copyright doc/relto/examples/config.toml; do
      test -s "/usr/share/\$file"
    done
    mkdir -p ~/.config/relto && cp /usr/share/doc/relto/examples/config.toml ~/.config/relto/ && relto config >/dev/null
    relto doctor /usr/bin/clang-22
    RELTO=/usr/bin/relto QUICKSTART_SOURCES=/relto/sources /relto/examples/quickstart.sh
    apt-get -qq purge -y relto >/dev/null
    ! test -e /usr/bin/relto && ! test -e /usr/share/doc/relto
CHROOT
  grep -E "^relto: |^  the whole link" "$work/told" | sed 's/^/    /'
  say "the Debian package links in a fresh Debian, and leaves nothing when it goes"
}

# --- the bytes

the_same_commit_gives_the_same_bytes() {
  local target=$(uname -m)-unknown-linux-musl copy=$work/another/place
  git diff --quiet HEAD || { skip "same bytes" "the checkout has changes"; return; }
  git clone --quiet "$root" "$copy"
  (unset CARGO_TARGET_DIR; cd "$copy" && packaging/build.sh --out "$work/again" "$target" >/dev/null)
  cmp "$dist/relto-$version-$target.tar.gz" "$work/again/relto-$version-$target.tar.gz" || fail "another directory gives other bytes"
  cmp "$dist/relto_${version}_$(dpkg --print-architecture).deb" "$work/again/relto_${version}_$(dpkg --print-architecture).deb" || fail "another directory gives another package"
  say "the same commit gives the same bytes in another directory"
}

checks=(the_crate_is_complete the_programs_are_static_and_hold_no_paths cargo_binstall_finds_them
  a_directory_with_busybox_is_enough the_package_links_in_a_fresh_debian)
[ $# -gt 0 ] || checks+=(the_same_commit_gives_the_same_bytes)
[ $# -lt 2 ] || checks=("${@:2}")
for check in "${checks[@]}"; do "$check"; done
say "ok"
