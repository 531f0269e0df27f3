#!/usr/bin/env bash
# tests/servers/bazel-remote.sh PORT DIR [OPTIONS...]: bazel-remote out of its published image, a cache with zstd, on
# 127.0.0.1:PORT, its state in DIR, its HTTP side on PORT + 1. Prints the id of its process. For RELTO_TEST_BAZEL_REMOTE.
set -euo pipefail
port=$1 dir=$2
shift 2
# shellcheck source=tests/servers/published.sh
. "$(dirname "$0")/published.sh"
program=$(published buchgr/bazel-remote-cache:v2.6.1)
mkdir -p "$dir/log"
start "$dir/log/bazel-remote" "$program" --dir="$dir/data" --max_size=4 --grpc_address="127.0.0.1:$port" \
  --http_address="127.0.0.1:$((port + 1))" "$@"
wait_for "$port"
echo "${pids[@]}"
