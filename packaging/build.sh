#!/usr/bin/env bash
# packaging/build.sh [--out DIR] [TARGET...]: everything that a release has, into DIR (default: dist).
#
# For each target (default: x86_64-unknown-linux-musl and aarch64-unknown-linux-musl) a static program in an archive with
# manual pages and completions, and a Debian package of it; then a bill of materials and the checksums of all that.
# The programs hold no paths of the machine that builds them, and the same commit gives the same bytes.
#
# Needs Debian with rustup, clang (14 or later), llvm-ar, and for programs of other machines qemu-user-static.
# musl's headers come from Debian's archive (nothing is installed), cargo-deb and cargo-cyclonedx from Cargo's registry.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
fail() { echo "packaging/build.sh: $*" >&2; exit 1; }

out=dist targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) [ $# -gt 1 ] || fail "--out needs a directory"; out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "packaging/build.sh: unknown argument \`$1\`" >&2; usage >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
mkdir -p "$out"
out=$(realpath "$out")

cargo_home=${CARGO_HOME:-$HOME/.cargo}
target_dir=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
kept=${XDG_CACHE_HOME:-$HOME/.cache}/relto-packaging
library=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$(rustc -vV | sed -n 's/^commit-hash: //p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Archives and packages carry the date of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

first_of() { # first_of NAME...: the first that is installed
  local name
  for name; do command -v "$name" && return; done
  fail "none of these is installed: $*"
}
# C code that shows when it was compiled shows that date too; clang itself does so from 16 on.
dated=(-Wno-builtin-macro-redefined "-D__DATE__=\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)\"" "-D__TIME__=\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%T)\"")
clang=$(first_of clang clang-22 clang-21 clang-19 clang-16)
archiver=$(first_of llvm-ar llvm-ar-22 llvm-ar-21 llvm-ar-19 llvm-ar-16 llvm-ar-14)

tool() { # tool CRATE: its cargo command, installed once
  [ -x "$kept/tools/bin/$1" ] || cargo install --quiet --locked --root "$kept/tools" "$1"
}

# --- headers of musl, for the C and the assembly in dependencies; rustc brings the library itself

musl() { # musl ARCHITECTURE: a directory with Debian's musl-dev for it
  local dir=$kept/musl-$1 lists=$kept/apt-$1
  if [ ! -e "$dir/usr/include" ]; then
    local get=(apt-get -qq -o "APT::Architectures::=$1" -o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists"
      -o APT::Sandbox::User=root)
    rm -rf "$lists" && mkdir -p "$lists/lists/partial" "$lists/archives/partial"
    (cd "$lists" && "${get[@]}" update && "${get[@]}" download "musl-dev:$1") >&2
    rm -rf "$dir.new" && dpkg-deb -x "$lists"/musl-dev_*.deb "$dir.new" && mv "$dir.new" "$dir"
    rm -rf "$lists"
  fi
  echo "$dir"
}

# --- one target

build() { # build TARGET MACHINE DEBIAN-ARCHITECTURE
  local target=$1 machine=$2 name sysroot variable
  rustup target add "$target" 2>/dev/null || rustup target list --installed | grep -qx "$target" || fail "rustup has no $target"
  sysroot=$(musl "$3")
  name=${target//-/_} variable=${name^^}
  # The last one that fits is taken. The standard library has its own name for its sources, where they are not installed.
  local hidden=("$HOME=/home" "$cargo_home=/cargo" "$library" "$root=/relto" "$target_dir=/target") flags=() rust=() pair
  for pair in "${hidden[@]}"; do flags+=("-ffile-prefix-map=$pair") rust+=("--remap-path-prefix=$pair"); done
  (
    export "CC_$name=$clang" "AR_$name=$archiver" "CARGO_TARGET_${variable}_LINKER=rust-lld"
    export "CFLAGS_$name=--target=$machine-linux-musl -nostdlibinc -isystem $sysroot/usr/include/$machine-linux-musl ${flags[*]} ${dated[*]}"
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${rust[*]}")
    export CARGO_ENCODED_RUSTFLAGS
    unset RUSTFLAGS
    cargo build --release --locked --target "$target"
  )
}

runner() { # runner MACHINE: what starts its programs here, if anything has to
  [ "$1" = "$(uname -m)" ] || first_of "qemu-$1-static" "qemu-$1"
}

generate() { # generate PROGRAM...: what is installed beside it
  rm -rf packaging/generated && mkdir -p packaging/generated/completions
  "$@" man packaging/generated/man
  "$@" completions bash >packaging/generated/completions/relto.bash
  "$@" completions zsh >packaging/generated/completions/_relto
  "$@" completions fish >packaging/generated/completions/relto.fish
}

archive() { # archive TARGET PROGRAM
  local name=relto-$version-$1 stage
  stage=$(mktemp -d)
  mkdir "$stage/$name"
  cp "$2" README.md CHANGELOG.md LICENSE-* "$stage/$name"
  cp -r docs packaging/generated/man packaging/generated/completions "$stage/$name"
  cp packaging/config.toml "$stage/$name/config.example.toml"
  chmod -R u=rwX,go=rX "$stage/$name"
  tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c "$name" |
    gzip -9n >"$out/$name.tar.gz"
  rm -rf "$stage"
}

tool cargo-deb
export PATH=$kept/tools/bin:$PATH
for target in "${targets[@]}"; do
  case $target in
    x86_64-unknown-linux-musl) machine=x86_64 architecture=amd64 ;;
    aarch64-unknown-linux-musl) machine=aarch64 architecture=arm64 ;;
    *) fail "\`$target\` is not a target of the releases" ;;
  esac
  echo "== $target"
  build "$target" "$machine" "$architecture"
  program=$target_dir/$target/release/relto
  run=$(runner "$machine")
  generate $run "$program"
  archive "$target" "$program"
  cargo deb --quiet --locked --no-build --no-strip --target "$target" --output "$out/relto_${version}_$architecture.deb"
done

echo "== bill of materials"
tool cargo-cyclonedx
cargo cyclonedx --quiet --format json --spec-version 1.5 --target all --override-filename relto.cdx
sed "s|file://$root|file:///relto|g" relto.cdx.json >"$out/relto-sbom.cdx.json"
rm -f relto.cdx.json tests/support/relto.cdx.json

(cd "$out" && sha256sum -- *.tar.gz *.deb *.cdx.json >SHA256SUMS)
ls -l "$out"
