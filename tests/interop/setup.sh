#!/usr/bin/env bash
# Installs the servers and clients that the interop tests run, in exact versions, into one folder and nowhere else.
# Does nothing when that is already done. Usage: setup.sh FOLDER
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=$1
wanted=$(cat "$here"/requirements-?.txt "$here/package-lock.json" | sha256sum)

mkdir -p "$cache"
if [[ -f $cache/installed && $(<"$cache/installed") == "$wanted" ]]; then
    exit 0
fi
rm -f "$cache/installed"
# The two versions of the Python SDK cannot live in one environment.
for sdk in 1 2; do
    python3 -m venv --clear "$cache/python-$sdk"
    "$cache/python-$sdk/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements-$sdk.txt"
done
cp "$here/package.json" "$here/package-lock.json" "$cache/"
# No package's install script is needed, so none is run.
npm ci --prefix "$cache" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
echo "$wanted" >"$cache/installed"
