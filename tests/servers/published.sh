# tests/servers/published.sh: sourced by the scripts beside it. Programs out of published images, and processes of them.
#
# `published IMAGE` prints the path of an image's program, which is copied out once and kept. An image holds one static
# program, its entry point; Docker is needed the first time.
# `start LOG PROGRAM ARGUMENTS...` starts a process in a group of its own and adds it to `pids`.
# `wait_for PORT` returns when something listens there, and ends the script with the logs when the processes have ended.

kept=${XDG_CACHE_HOME:-$HOME/.cache}/relto-test/published

published() {
  local program=$kept/${1//[\/:]/_} container path
  if [ ! -x "$program" ]; then
    mkdir -p "$kept"
    container=$(docker create --quiet "$1" 2>/dev/null || docker create "$1" | tail -n 1)
    path=$(docker inspect --format '{{index .Config.Entrypoint 0}}' "$container")
    docker cp --follow-link "$container:$path" "$program.$$" >/dev/null
    docker rm "$container" >/dev/null
    chmod +x "$program.$$"
    mv "$program.$$" "$program"
  fi
  echo "$program"
}

pids=()
start() {
  local log=$1
  shift
  setsid "$@" >"$log" 2>&1 </dev/null &
  pids+=($!)
}

wait_for() {
  local _
  for _ in $(seq 400); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
    kill -0 "${pids[@]}" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 5 "$dir"/log/* >&2
  kill "${pids[@]}" 2>/dev/null
  exit 1
}
