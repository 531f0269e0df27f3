#!/usr/bin/env bash
# tests/servers/buildbarn.sh PORT DIR: Buildbarn, configured as in examples/buildbarn, as four plain processes on
# 127.0.0.1:PORT and the four ports after it, its state in DIR. Prints the ids of storage, scheduler, runner and worker. For
# RELTO_TEST_BUILDBARN.
#
#   BUILDBARN_PROGRAMS   directory with bb_storage, bb_scheduler, bb_worker and bb_runner; otherwise they come out of the
#                        published images that the example names
#   BB_ZSTD=0            no compression
set -euo pipefail
port=$1 dir=$2
example=$(cd "$(dirname "$0")/../../examples/buildbarn" && pwd)
# shellcheck source=tests/servers/published.sh
. "$(dirname "$0")/published.sh"
image() { sed -n "s|^ *image: *\(.*/$1:.*\)|\1|p" "$example/docker-compose.yml" | head -n 1; }
program() { # program NAME
  if [ -n "${BUILDBARN_PROGRAMS:-}" ]; then
    echo "$BUILDBARN_PROGRAMS/bb_$1"
  elif [ "$1" = runner ]; then
    # The example installs it into another image; this one has it as its entry point.
    published "$(image bb-runner-installer | sed 's|bb-runner-installer|bb-runner-bare|')"
  else
    published "$(image "bb-$1")"
  fi
}
mkdir -p "$dir"/{config,cas,ac,log} "$dir"/worker/{build,cache}
chmod 0700 "$dir/worker/cache"
rm -f "$dir/worker/runner"
for file in "$example"/config/*; do
  sed -e "s#storage:8980#127.0.0.1:$port#; s#scheduler:8982#127.0.0.1:$((port + 2))#; s#scheduler:8983#127.0.0.1:$((port + 3))#" \
    -e "s#listen(8980)#listen($port)#; s#listen(8982)#listen($((port + 2)))#; s#listen(8983)#listen($((port + 3)))#" \
    -e "s#':7982'#'127.0.0.1:$((port + 4))'#; s#':%d'#'127.0.0.1:%d'#" \
    -e "s#'/cas'#'$dir/cas'#; s#'/ac'#'$dir/ac'#; s#/worker/#$dir/worker/#; s#concurrency: 4#concurrency: ${BB_JOBS:-2}#" \
    "$file" >"$dir/config/$(basename "$file")"
done
[ "${BB_ZSTD:-1}" = 0 ] || sed -i "s/^  executeAuthorizer:/  supportedCompressors: ['ZSTD'],\n&/" "$dir/config/storage.jsonnet"
for name in storage scheduler runner worker; do
  start "$dir/log/$name" "$(program $name)" "$dir/config/$name.jsonnet"
done
for offset in 0 2 3 4; do wait_for $((port + offset)); done
# The scheduler refuses work until the worker has registered.
for _ in $(seq 400); do
  [[ $(curl -fs "http://127.0.0.1:$((port + 4))/" 2>/dev/null) != *OSFamily* ]] || { echo "${pids[@]}"; exit 0; }
  sleep 0.05
done
tail -n 5 "$dir"/log/* >&2
kill "${pids[@]}"
exit 1
