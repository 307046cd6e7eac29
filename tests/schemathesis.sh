#!/usr/bin/env bash
# Lets schemathesis attack a running server by its own description: all checks, bounded time.
# Usage: tests/schemathesis.sh COFFERD ST
set -euo pipefail
cofferd=$(realpath "$1")
st=$(realpath -s "$2")
config=$(realpath "$(dirname "$0")/schemathesis.toml")
folder=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
cd "$folder"

"$cofferd" dev --listen 127.0.0.1:0 --data data >said 2>log &
server=$!
for _ in $(seq 100); do grep -q Ctrl-C said && break; sleep 0.1; done
# shellcheck disable=SC1091
. data/dev.env
api() {
  curl -sS --fail-with-body "$@" -H "Authorization: Bearer $COFFER_TOKEN" -H "Content-Type: application/json" \
    -H "X-Organisation-Identity: $COFFER_ORGANISATION" >/dev/null
}
for key in second third; do
  api "$COFFER_ENDPOINT/v1/kms/$COFFER_REGION/keys" -d "{\"name\": \"$key\"}"
done
for path in /app/a /app/b/c /app/d /e; do
  api "$COFFER_ENDPOINT/v1/secrets/$COFFER_REGION/secrets" \
    -d "{\"path\": \"$path\", \"kmsKeyIdentity\": \"default\", \"generateSecret\": {\"byteLength\": 16}}"
done

"$st" --config-file "$config" run "$COFFER_ENDPOINT/openapi.json" --url "$COFFER_ENDPOINT" \
  -H "Authorization: Bearer $COFFER_TOKEN" -H "X-Organisation-Identity: $COFFER_ORGANISATION" \
  --max-examples "${EXAMPLES:-25}" --seed 1 --generation-database none "${@:3}"
if grep -q ERROR log; then
  cat log
  exit 1
fi
kill -TERM "$server"
wait "$server"
server=
