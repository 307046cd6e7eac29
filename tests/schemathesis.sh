#!/usr/bin/env bash
# Lets schemathesis attack a running server by its own description: all checks, bounded time.
# Usage: tests/schemathesis.sh COFFERD ST
set -euo pipefail
st=$(realpath -s "$2")
here=$(realpath "$(dirname "$0")")
# shellcheck source=tests/server.sh
. "$here/server.sh"
cofferd=$(realpath "$1")
start_server "$cofferd"
end_server
# The same store once more: with an administrator, and without a limit of failed authentications.
cat >coffer.toml <<END
listen = ["${COFFER_ENDPOINT#http://}"]
data = "coffer-data"
[[regions]]
slug = "$COFFER_REGION"
[limits]
auth_failures_per_minute = 0
END
COFFER_ADMIN_TOKEN=$("$cofferd" admin-token --config coffer.toml --name schemathesis 2>>log | grep -o 'tc_adm_[0-9A-Za-z]*')
export COFFER_ADMIN_TOKEN
"$cofferd" serve --config coffer.toml >said 2>>log &
server=$!
for _ in $(seq 100); do curl -sf "$COFFER_ENDPOINT/readyz" >/dev/null && break; sleep 0.1; done

api() {
  curl -sS --fail-with-body "$@" -H "Authorization: Bearer $COFFER_TOKEN" -H "Content-Type: application/json" \
    -H "X-Organisation-Identity: $COFFER_ORGANISATION" >/dev/null
}
for key in '"name": "second"' '"name": "third"' '"name": "signing", "keyType": "ed25519"' \
  '"name": "mac", "keyType": "hmac"' '"name": "open", "exportAllowed": true'; do
  api "$COFFER_ENDPOINT/v1/kms/$COFFER_REGION/keys" -d "{$key}"
done
project=(-H "X-Project-Identity: shop")
api "$COFFER_ENDPOINT/v1/projects" -d '{"name": "shop"}'
api "${project[@]}" "$COFFER_ENDPOINT/v1/projects/iam/policies" -d '{"name": "readers"}'
for path in /app/a /app/b/c /app/d /e; do
  api "$COFFER_ENDPOINT/v1/secrets/$COFFER_REGION/secrets" \
    -d "{\"path\": \"$path\", \"kmsKeyIdentity\": \"default\", \"generateSecret\": {\"byteLength\": 16}}"
done

"$st" --config-file "$here/schemathesis.toml" run "$COFFER_ENDPOINT/openapi.json" --url "$COFFER_ENDPOINT" \
  --max-examples "${EXAMPLES:-25}" --seed 1 --generation-database none "${@:3}"
if grep -q ERROR log; then
  cat log
  exit 1
fi
end_server
