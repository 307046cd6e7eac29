#!/usr/bin/env bash
# Runs every block of docs/getting-started.md and docs/iam.md as a reader would type it, against a fresh
# `cofferd dev`.
# Usage: tests/getting-started.sh COFFERD
set -euo pipefail
here=$(realpath "$(dirname "$0")")
guides=("$here/../docs/getting-started.md" "$here/../docs/iam.md")
# shellcheck source=tests/server.sh
. "$here/server.sh"
start_server "$1"

# Splits the guides into blocks of `sh`: commands to block-N, expected pieces to expected-N.
awk '/^```sh$/ {n++; inside = 1; next} /^```$/ {inside = 0}
     inside && /^# → / {sub(/^# → /, ""); print > ("expected-" n); next}
     inside {print > ("block-" n)}' "${guides[@]}"
blocks=$(find . -name 'block-*' | wc -l)
passed=0
for n in $(seq "$blocks"); do
  # The blocks share one shell, as they would at a terminal.
  # shellcheck disable=SC1090
  . "./block-$n" >answer || { cat answer "block-$n"; echo "block $n failed"; exit 1; }
  if [ -e "expected-$n" ]; then
    while IFS= read -r piece; do
      grep -qF -- "$piece" answer || { cat answer; echo "block $n: no $piece"; exit 1; }
    done <"expected-$n"
  fi
  passed=$((passed + 1))
done

# The four lines that `dev` prints work as they are pasted.
grep '^  curl ' said >pasted
[ "$(wc -l <pasted)" = 4 ]
while IFS= read -r line; do
  eval "$line -sS --fail-with-body" >answer 2>errors </dev/null || { cat answer errors; exit 1; }
  passed=$((passed + 1))
done <pasted

end_server
for value in 'correct horse battery staple' 'tr0ub4dor-and-3' 'Y29ycmVjdCBob3JzZSBiYXR0ZXJ5' "$COFFER_TOKEN" \
  "$ACCESS_SECRET" "$ACCESS_TOKEN"; do
  files=$(find coffer-data said log -type f ! -name dev.env)
  for file in $files; do
    if grep -qaF -- "$value" "$file"; then
      echo "a value stands in $file"
      exit 1
    fi
  done
done
echo "getting started: $passed passed, 0 failed"
