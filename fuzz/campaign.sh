#!/usr/bin/env bash
# fuzz/campaign.sh [SECONDS [TARGET...]]: all fuzz targets in turn, SECONDS each (300 by default), until one finds something.
#
# Corpora stay in fuzz/corpus, so that a run goes on where the last one stopped. What each target has had in all is added up by
# tests/campaigns.py: processor seconds, the system's among them, runs and findings. Exit code 1 at the first finding, which is in fuzz/artifacts/TARGET.
# It needs a nightly compiler and cargo-fuzz (`cargo install cargo-fuzz`), and takes SECONDS times the number of targets.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-300}
shift || true
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | grep -v '^relto-fuzz$')

fuzz() { RUSTUP_TOOLCHAIN=${RELTO_FUZZ_TOOLCHAIN:-nightly} nice cargo fuzz "$@"; }
record=${XDG_STATE_HOME:-$HOME/.local/state}/relto-test/campaigns.jsonl
mkdir -p "$(dirname "$record")"
commit=$(git rev-parse --short HEAD)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" /dev/shm/relto-fuzz-*' EXIT

./seeds.sh
fuzz build
for target; do
  log=$scratch/$target.log code=0
  began=$(date +%s)
  TIMEFORMAT='%U %S'
  used=$( { time fuzz run "$target" -- -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -timeout=20 -print_final_stats=1 \
    >"$log" 2>&1; } 2>&1 ) || code=$?
  used=$(awk '{ print int($1 + $2) }' <<<"$used")
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  findings=$((code != 0))
  printf '{"campaign":"fuzz %s","time":%d,"commit":"%s","seconds":%d,"counts":{"processor seconds":%d,"runs":%d,"findings":%d}}\n' \
    "$target" "$(date +%s)" "$commit" "$(($(date +%s) - began))" "$used" "${runs:-0}" "$findings" >>"$record"
  printf '%-14s %10d runs, %d s, %d findings\n' "$target" "${runs:-0}" "$used" "$findings"
  [ "$code" = 0 ] || { tail -n 40 "$log"; exit 1; }
done
