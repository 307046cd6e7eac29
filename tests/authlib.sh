#!/usr/bin/env bash
# The token endpoint of a fresh `cofferd dev` with another OAuth implementation: see tests/authlib.py.
# Usage: tests/authlib.sh COFFERD PYTHON (one that has `authlib`, `joserfc` and `requests`)
set -euo pipefail
python=$(realpath -s "$(command -v "$2")")
here=$(realpath "$(dirname "$0")")
# shellcheck source=tests/server.sh
. "$here/server.sh"
start_server "$1"

"$python" -B "$here/authlib.py"
if grep -q ERROR log; then
  cat log
  exit 1
fi
end_server
