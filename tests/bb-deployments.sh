#!/usr/bin/env bash
# tests/bb-deployments.sh: relto on Buildbarn's own Docker Compose deployment, its files unmodified: brings it up, links
# there (instance `hardlinking`, exactly the worker's platform properties), checks, and takes it down.
#
#   BB_DEPLOYMENTS       a checkout of github.com/buildbarn/bb-deployments, or its directory docker-compose; else it is cloned
#   BB_ENDPOINT          a deployment that runs already, as grpc://127.0.0.1:8980: nothing is brought up or taken down
#   BUILDBARN_PROGRAMS   directory with bb_storage, bb_scheduler, bb_worker and bb_runner: images are made of them under the
#                        names that the deployment asks for, and the runner's container holds nothing but busybox
# The worker with FUSE is left out: it needs a privileged container. Without Docker Compose: a word, and exit code 0; with
# RELTO_TEST_REQUIRE=bb_deployments exit code 1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
programs=${BUILDBARN_PROGRAMS:-}
say() { echo "bb-deployments: $*"; }
# shellcheck source=tests/buildbarn-images.sh
. "$here/buildbarn-images.sh"

compose=()
find_compose
if [ -z "${BB_ENDPOINT:-}" ] && [ ${#compose[@]} = 0 ]; then
  say "skipped: no Docker engine with compose, and BB_ENDPOINT is not set"
  [[ ,${RELTO_TEST_REQUIRE:-}, != *,bb_deployments,* ]] || exit 1
  exit 0
fi

dir=$(mktemp -d)
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
trap '$sudo rm -rf "$dir"' EXIT

checkout=${BB_DEPLOYMENTS:-}
if [ -z "$checkout" ]; then
  checkout=$dir/bb-deployments
  git clone --quiet --depth 1 https://github.com/buildbarn/bb-deployments "$checkout"
fi
[ ! -d "$checkout/docker-compose" ] || checkout=$checkout/docker-compose
[ -e "$checkout/docker-compose.yml" ] || { say "no docker-compose.yml in $checkout" >&2; exit 1; }
worker_config=$(ls "$checkout"/config/worker-hardlinking-*.jsonnet)
worker=$(basename "$worker_config" .jsonnet)
runner=runner-${worker#worker-}
# As the worker's configuration lists them; the list must be sent whole.
properties=$(sed -n "s/.*{ name: '\([^']*\)', value: '\([^']*\)' }.*/\1=\2/p" "$worker_config")

d=$dir/docker-compose
composed() { (cd "$d" && "${compose[@]}" --project-name relto-bb-deployments --file docker-compose.yml --file override.yml "$@"); }

up() {
  cp -r "$checkout" "$d"
  chmod -R u+w "$d"
  # Published on loopback only, whatever the machine's Docker does by default.
  cat >"$d/override.yml" <<YML
version: '3'
networks:
  default:
    driver_opts:
      com.docker.network.bridge.host_binding_ipv4: 127.0.0.1
YML
  if [ -n "$programs" ]; then
    make_images "$d/docker-compose.yml" "$dir"
    printf 'services:\n  %s:\n    image: relto-test/busybox\n' "$runner" >>"$d/override.yml"
  fi
  # What its run.sh prepares, without the worker with FUSE.
  local volumes=$d/volumes
  rm -rf "$volumes"
  mkdir -p "$volumes"
  mkdir -m 0777 "$volumes/$worker" "$volumes/$worker"/{build,cas,cas/persistent_state}
  chmod 0777 "$volumes/$worker" "$volumes/$worker"/{build,cas,cas/persistent_state}
  mkdir -m 0700 "$volumes/$worker/cache"
  mkdir -p "$volumes"/storage-{ac,cas,fsac}-{0,1}/persistent_state
  chmod 0700 "$volumes"/storage-{ac,cas,fsac}-{0,1}/{,persistent_state}
  trap 'code=$?; [ $code = 0 ] || composed logs --tail 40; composed down --volumes >/dev/null 2>&1; $sudo rm -rf "$dir"' EXIT
  composed up --detach frontend storage-0 storage-1 scheduler runner-installer "$worker" "$runner" 2>"$dir/up.log" ||
    { cat "$dir/up.log" >&2; return 1; }
  local _
  for _ in $(seq 900); do # the first time the runner's image is fetched, which is large
    [[ $(curl -fs http://127.0.0.1:7982/ 2>/dev/null) != *hardlinking* ]] || return 0
    sleep 0.2
  done
  say "the scheduler's page shows no worker" >&2
  return 1
}

endpoint=${BB_ENDPOINT:-}
if [ -z "$endpoint" ]; then
  say "${compose[*]} up, $(grep -c image: "$checkout/docker-compose.yml") images as its docker-compose.yml names them"
  up
  endpoint=grpc://127.0.0.1:8980
fi
say "$endpoint, instance hardlinking, platform:" $properties
RELTO_REMOTE_EXECUTOR=$endpoint RELTO_REMOTE_INSTANCE_NAME=hardlinking RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES=$properties \
  "$here/farm-link.sh"
say "ok"
