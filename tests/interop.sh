#!/usr/bin/env bash
# The KMS of a fresh `cofferd dev` against another implementation: see tests/interop.py.
# Usage: tests/interop.sh COFFERD PYTHON (one that has `cryptography`)
set -euo pipefail
python=$(realpath -s "$(command -v "$2")")
here=$(realpath "$(dirname "$0")")
# shellcheck source=tests/server.sh
. "$here/server.sh"
start_server "$1"

"$python" -B "$here/interop.py"
if grep -q ERROR log; then
  cat log
  exit 1
fi
end_server
