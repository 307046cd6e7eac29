# shellcheck shell=bash
# Sourced by the suites: a fresh `cofferd dev` in a folder of its own, gone when the suite ends.

# start_server COFFERD: goes into the folder and takes over dev.env; what it says is in `said` and `log`.
start_server() {
  local cofferd
  cofferd=$(realpath "$1")
  folder=$(mktemp -d)
  trap stop_server EXIT
  cd "$folder"
  "$cofferd" dev --listen 127.0.0.1:0 --data coffer-data >said 2>log &
  server=$!
  for _ in $(seq 100); do grep -q Ctrl-C said && break; sleep 0.1; done
  grep -q Ctrl-C said || { cat log; exit 1; }
  # shellcheck disable=SC1091
  . coffer-data/dev.env
}

# end_server: asks it to stop, and fails when it does not end well.
end_server() {
  kill -TERM "$server"
  wait "$server"
  server=
}

stop_server() {
  [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
