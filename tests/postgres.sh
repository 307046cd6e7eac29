#!/usr/bin/env bash
# Runs what holds of every store once more, on a throw-away PostgreSQL cluster.
# Usage: tests/postgres.sh, with PostgreSQL's programs installed (Debian package `postgresql`)
set -euo pipefail
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
initdb=$(command -v initdb || echo "$bin/initdb")
pg_ctl=$(command -v pg_ctl || echo "$bin/pg_ctl")
folder=$(mktemp -d)
# The server refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
  user=$(id -un postgres 2>/dev/null || echo nobody)
  as=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
  chown "$user" "$folder"
fi
trap '"${as[@]}" "$pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# A certificate for TLS, of an authority that nobody else trusts.
(
  cd "$folder"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.pem
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=database -keyout server.key -out server.csr
  printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
  chmod 600 server.key
  chmod 755 .
  if [ "$(id -u)" = 0 ]; then chown "$user" server.key; fi
) 2>/dev/null
(
  cd "$folder"
  "${as[@]}" "$initdb" -D data -U coffer -A trust -E UTF8 --locale=C >log
  # What is thrown away need not survive.
  "${as[@]}" "$pg_ctl" -D data -l server.log -w start >/dev/null \
    -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=400 \
        -c ssl=on -c ssl_cert_file=$folder/server.pem -c ssl_key_file=$folder/server.key"
)
# With all crates, as `./test` has built it. What is about the embedded store's files, or about no store at all, has run
# before.
COFFER_TEST_POSTGRES_CA=$folder/ca.pem COFFER_TEST_POSTGRES="postgres://coffer@127.0.0.1:$port/postgres?sslmode=disable" \
  cargo test --locked --workspace --test it -- --skip process:: --skip custody:: --skip backup:: --skip backup_format:: \
  --skip statements:: --skip migrations:: --skip tidy:: --skip specification:: --skip openapi::
