#!/usr/bin/env bash
# `coffer` against a fresh `cofferd dev`: input, output, exit code.
# Usage: tests/command-line.sh COFFERD COFFER
set -euo pipefail
coffer=$(realpath "$2")
# shellcheck source=tests/server.sh
. "$(realpath "$(dirname "$0")")/server.sh"
start_server "$1"

passed=0
# expect CODE OUTPUT COMMAND…: standard input is passed on.
expect() {
  local code=$1 output=$2 actual=0
  shift 2
  "$@" >out 2>err || actual=$?
  if [ "$actual" != "$code" ] || [ "$(cat out)" != "$output" ]; then
    echo "$*: exit code $actual instead of $code, or another output:"
    cat out err
    exit 1
  fi
  passed=$((passed + 1))
}

printf 'hunter2' | expect 0 "/app/db/password version 1" "$coffer" put /app/db/password
printf 'hunter3' | expect 0 "/app/db/password version 2" "$coffer" put /app/db/password
expect 0 hunter3 "$coffer" get /app/db/password
expect 0 hunter2 "$coffer" get /app/db/password --version 1
expect 0 /app/ "$coffer" ls
expect 0 /app/db/password "$coffer" ls /app/db
expect 3 "" "$coffer" get /app/nothing
expect 1 "" "$coffer" get app/db
expect 1 "" "$coffer" get /app/db/password --field user
(export COFFER_TOKEN=tc_pat_wrong; expect 2 "" "$coffer" get /app/db/password)
(export COFFER_ORGANISATION=other; expect 2 "" "$coffer" get /app/db/password)
(export COFFER_REGION=xx-01; expect 3 "" "$coffer" ls)
(unset COFFER_TOKEN; expect 1 "" "$coffer" ls)

head -c 4096 /dev/urandom >random
expect 0 "/app/random version 1" "$coffer" put /app/random <random
"$coffer" get /app/random | cmp - random
passed=$((passed + 5))

end_server
echo "command line: $passed passed, 0 failed"
