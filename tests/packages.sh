#!/usr/bin/env bash
# What is installed: the systemd unit, the settings, the image, the manifests, the Debian package.
# Usage: tests/packages.sh COFFERD BIN (the folder with `python`, `hadolint` and `kubernetes-validate`)
set -euo pipefail
cofferd=$(realpath "$1")
bin=$(realpath -s "$2")
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The settings that are handed out are good for a start, with files of the rights that they get: those of Secrets on
# Kubernetes may be read by the group.
unset "${!COFFER_@}"
export CREDENTIALS_DIRECTORY=$folder/run/credentials
install -d -m 0700 "$folder/var" "$folder/var/data" "$folder/etc" "$folder/run" "$folder/run/"{credentials,database,tls}
printf 'data = "%s"\n[[regions]]\nslug = "nl-01"\n' "$folder/var" >"$folder/root.toml"
"$cofferd" root-key --config "$folder/root.toml" >/dev/null
install -m 0600 "$folder/var/root.key" "$folder/var/data/root.key"
install -m 0440 "$folder/var/root.key" "$folder/run/credentials/coffer-root"
install -m 0440 /dev/null "$folder/run/database/password"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=coffer.example.com \
  -keyout "$folder/etc/tls.key" -out "$folder/etc/tls.crt" 2>/dev/null
chmod 0440 "$folder/etc/tls.key"
cp -p "$folder/etc/tls."* "$folder/run/tls/"
cp "$folder/etc/tls.crt" "$folder/run/database/ca.crt"
for settings in packaging/coffer.toml packaging/docker/coffer.toml packaging/kubernetes/coffer.toml; do
  sed "s|\"/var/lib/coffer|\"$folder/var|; s|\"/etc/coffer|\"$folder/etc|; s|\"/run/coffer|\"$folder/run|" "$settings" \
    >"$folder/coffer.toml"
  "$cofferd" config check --config "$folder/coffer.toml" >"$folder/said" 2>&1 \
    || { echo "$settings:"; cat "$folder/said"; exit 1; }
done

# The unit is understood, with the binary that is here, and stays as closed as the documents say.
if command -v systemd-analyze >/dev/null; then
  unit=$folder/cofferd.service
  sed "s|^ExecStart=/usr/bin/cofferd |ExecStart=$cofferd |" packaging/systemd/cofferd.service >"$unit"
  grep -q "^ExecStart=$cofferd " "$unit"
  systemd-analyze verify --man=no "$unit" >"$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
  # What is not understood is only warned of.
  if grep -F "$unit" "$folder/said"; then exit 1; fi
  systemd-analyze security --no-pager --offline=true --threshold=15 "$unit" >"$folder/said" 2>&1 \
    || { cat "$folder/said"; exit 1; }
  grep 'exposure level' "$folder/said"
else
  echo "skipped, no systemd-analyze: the unit"
fi

# The image, and the manifests by the schemas of the oldest version that knows them all and of the newest.
"$bin/hadolint" packaging/docker/Dockerfile
manifests=(packaging/kubernetes/[!k]*.yaml packaging/kubernetes/bootstrap/*.yaml)
if command -v kubectl >/dev/null; then
  kubectl kustomize packaging/kubernetes >"$folder/built.yaml"
  manifests+=("$folder/built.yaml")
else
  echo "skipped, no kubectl: what kustomize makes of the manifests"
fi
for version in 1.30.0 1.37.0; do
  failed=0
  "$bin/kubernetes-validate" --strict --quiet -k "$version" "${manifests[@]}" >"$folder/said" 2>&1 || failed=1
  # A kind without a schema is only warned of.
  if [ $failed = 1 ] || [ -s "$folder/said" ]; then
    cat "$folder/said"
    exit 1
  fi
done

# What they name is there.
"$bin/python" -B tests/packages.py .
for script in packaging/debian/p*; do sh -n "$script"; done

# The Debian package, of the binaries that are here.
if ! command -v cargo-deb >/dev/null; then
  echo "skipped, no cargo-deb: the Debian package"
  exit 0
fi
built=$folder/target/release
mkdir -p "$built"
ln -s "$cofferd" "$(dirname "$cofferd")/coffer" "$built/"
CARGO_TARGET_DIR=$folder/target tools/deb "$built" --no-strip --fast --offline -q -o "$folder/coffer.deb" >/dev/null
dpkg-deb -c "$folder/coffer.deb" >"$folder/files"
while read -r rights file; do
  grep -Eq "^$rights +(0/0|root/root) .* \./$file\$" "$folder/files" || { cat "$folder/files"; echo "no $file"; exit 1; }
done <<'END'
-rwxr-xr-x usr/bin/cofferd
-rwxr-xr-x usr/bin/coffer
-rw-r----- etc/coffer/coffer.toml
-rw-r--r-- usr/lib/systemd/system/cofferd.service
-rw-r--r-- usr/lib/sysusers.d/coffer.conf
-rw-r--r-- usr/share/man/man1/cofferd-serve.1.gz
-rw-r--r-- usr/share/bash-completion/completions/cofferd
END
[ "$(dpkg-deb -I "$folder/coffer.deb" conffiles)" = /etc/coffer/coffer.toml ]
for script in postinst prerm postrm; do dpkg-deb -I "$folder/coffer.deb" "$script" | sh -n; done
echo "the Debian package: $(dpkg-deb -f "$folder/coffer.deb" Package Version Depends | tr '\n' ' ')"
