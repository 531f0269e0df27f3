#!/usr/bin/env bash
# tests/buildbarn-example.sh: brings up examples/buildbarn, links on it, and takes it down.
#
# With a Docker engine (DOCKER_HOST is heeded) the example runs as it is. Where there is none, its configuration runs as
# four plain processes, which then see this machine's files.
#   BUILDBARN_PROGRAMS   directory with bb_storage, bb_scheduler, bb_worker and bb_runner. Docker images are made of them,
#                        under the names that the example asks for, instead of fetching those; plain processes need it
#   BUILDBARN_PLAIN=1    plain processes even if there is an engine
# Without an engine and without programs: a word, and exit code 0; with RELTO_TEST_REQUIRE=example exit code 1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
example=$here/../examples/buildbarn
programs=${BUILDBARN_PROGRAMS:-}
say() { echo "buildbarn-example: $*"; }
# shellcheck source=tests/buildbarn-images.sh
. "$here/buildbarn-images.sh"

compose=()
[ -n "${BUILDBARN_PLAIN:-}" ] || find_compose
if [ ${#compose[@]} = 0 ] && [ -z "$programs" ]; then
  say "skipped: no Docker engine with compose, and BUILDBARN_PROGRAMS names no programs"
  [[ ,${RELTO_TEST_REQUIRE:-}, != *,example,* ]] || exit 1
  exit 0
fi
dir=$(mktemp -d)
port=8980

composed() { "${compose[@]}" --project-name relto-example --file "$example/docker-compose.yml" "$@"; }

up_docker() {
  if [ -n "$programs" ]; then make_images "$example/docker-compose.yml" "$dir"; fi
  trap 'code=$?; [ $code = 0 ] || composed logs --tail 40; composed down --volumes >/dev/null 2>&1; rm -rf "$dir"' EXIT
  composed up --detach 2>"$dir/up.log" || { cat "$dir/up.log" >&2; return 1; }
}

up_plain() {
  port=${BUILDBARN_PORT:-18980}
  page=$((port + 4))
  mkdir -p "$dir"/{config,cas,ac,log} "$dir"/worker/{build,cache}
  chmod 0700 "$dir/worker/cache"
  for file in "$example"/config/*; do
    sed -e "s#storage:8980#127.0.0.1:$port#; s#scheduler:8982#127.0.0.1:$((port + 2))#; s#scheduler:8983#127.0.0.1:$((port + 3))#" \
      -e "s#listen(8980)#listen($port)#; s#listen(8982)#listen($((port + 2)))#; s#listen(8983)#listen($((port + 3)))#" \
      -e "s#':7982'#'127.0.0.1:$page'#; s#':%d'#'127.0.0.1:%d'#" \
      -e "s#'/cas'#'$dir/cas'#; s#'/ac'#'$dir/ac'#; s#/worker/#$dir/worker/#" "$file" >"$dir/config/$(basename "$file")"
  done
  pids=()
  trap 'code=$?; [ $code = 0 ] || tail -n 5 "$dir"/log/* | cut -c 1-300; kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
  for name in storage scheduler runner worker; do
    "$programs/bb_$name" "$dir/config/$name.jsonnet" >"$dir/log/$name" 2>&1 </dev/null &
    pids+=($!)
  done
}

page=7982
if [ ${#compose[@]} -gt 0 ]; then
  say "as it is, by ${compose[*]}"; up_docker
else
  say "no Docker engine: its configuration as plain processes"; up_plain
fi
worker_is_there() { [[ $(curl -fs "http://127.0.0.1:$page/" 2>/dev/null) == *OSFamily* ]]; }
for _ in $(seq 600); do
  ! worker_is_there || break
  sleep 0.2
done
worker_is_there || { say "the scheduler's page shows no worker" >&2; exit 1; }
say "the scheduler's page shows the worker"
RELTO_REMOTE_EXECUTOR=grpc://127.0.0.1:$port RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES=OSFamily=linux "$here/farm-link.sh"
say "ok"
