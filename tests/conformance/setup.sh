#!/usr/bin/env bash
# Installs the conformance suite, and a Node it runs on, in exact versions, into one folder and nowhere else.
# Does nothing when that is already done. Usage: setup.sh FOLDER
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=$1
wanted=$(sha256sum <"$here/package-lock.json")

mkdir -p "$cache"
if [[ -f $cache/installed && $(<"$cache/installed") == "$wanted" ]]; then
    exit 0
fi
rm -f "$cache/installed"
cp "$here/package.json" "$here/package-lock.json" "$cache/"
# No package's install script is needed, so none is run.
npm ci --prefix "$cache" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
echo "$wanted" >"$cache/installed"
