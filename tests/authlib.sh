#!/usr/bin/env bash
# The token endpoint of a fresh `cofferd dev` with another OAuth implementation: see tests/authlib.py. Then an issuer
# over https, for a server that trusts its authority and no proxy: see tests/https_issuer.py.
# Usage: tests/authlib.sh COFFERD PYTHON (one that has `authlib`, `joserfc` and `requests`)
set -euo pipefail
cofferd=$(realpath "$1")
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

"$python" -B "$here/https_issuer.py" certificate
cat >coffer.toml <<'TOML'
listen = ["127.0.0.1:0"]
data = "https-data"
[[regions]]
slug = "nl-01"
[federation]
allow_private_issuers = true
TOML
"$cofferd" bootstrap --config coffer.toml --organisation acme --owner owner@example.com >founded 2>log
COFFER_TOKEN=$(sed -n 's/^token //p' founded)
# The proxies of the environment must not be asked; nothing listens there.
SSL_CERT_FILE=authority.pem HTTPS_PROXY=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 \
  "$cofferd" serve --config coffer.toml >said 2>>log &
server=$!
for _ in $(seq 100); do grep -q 'listens on' said && break; sleep 0.1; done
COFFER_ENDPOINT=$(sed -n 's/^Coffer listens on //p' said)
export COFFER_TOKEN COFFER_ENDPOINT COFFER_ORGANISATION=acme
"$python" -B "$here/https_issuer.py" || { cat log; exit 1; }
end_server
