#!/usr/bin/env bash
# tests/servers/nativelink.sh PORT DIR: NativeLink out of its published image, with a worker of its own, on
# 127.0.0.1:PORT, its state in DIR; PORT + 1 is for the workers. Its instance is `main`. Prints the id of its process. For
# RELTO_TEST_NATIVELINK.
set -euo pipefail
port=$1 dir=$2
# shellcheck source=tests/servers/published.sh
. "$(dirname "$0")/published.sh"
program=$(published ghcr.io/tracemachina/nativelink:v0.6.0)
mkdir -p "$dir/log" "$dir/work"
files() { # files NAME BYTES: the settings of a store in files
  echo "{\"content_path\": \"$dir/$1\", \"temp_path\": \"$dir/$1.tmp\", \"eviction_policy\": {\"max_bytes\": $2}}"
}
cat >"$dir/config.json5" <<JSON
{
  "stores": [
    {"name": "RESULTS", "filesystem": $(files results 500000000)},
    // The worker links files out of the fast store, which is all there is.
    {"name": "BLOBS", "fast_slow": {"fast": {"filesystem": $(files blobs 8000000000)}, "slow": {"noop": {}}}}
  ],
  "schedulers": [{"name": "SCHEDULER", "simple": {"supported_platform_properties": {"OSFamily": "priority"}}}],
  "workers": [{"local": {
    "worker_api_endpoint": {"uri": "grpc://127.0.0.1:$((port + 1))"},
    "cas_fast_slow_store": "BLOBS",
    "upload_action_result": {"ac_store": "RESULTS"},
    "work_directory": "$dir/work",
    "platform_properties": {"OSFamily": {"values": ["linux"]}}
  }}],
  "servers": [
    {
      "listener": {"http": {"socket_address": "127.0.0.1:$port"}},
      "services": {
        "cas": {"main": {"cas_store": "BLOBS"}},
        "ac": {"main": {"ac_store": "RESULTS"}},
        "execution": {"main": {"cas_store": "BLOBS", "scheduler": "SCHEDULER"}},
        "capabilities": {"main": {"remote_execution": {"scheduler": "SCHEDULER"}}},
        "bytestream": {"cas_stores": {"main": "BLOBS"}}
      }
    },
    {
      "listener": {"http": {"socket_address": "127.0.0.1:$((port + 1))"}},
      "services": {"worker_api": {"scheduler": "SCHEDULER"}, "admin": {}, "health": {}}
    }
  ]
}
JSON
start "$dir/log/nativelink" "$program" "$dir/config.json5"
wait_for "$port"
echo "${pids[@]}"
