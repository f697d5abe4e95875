#!/usr/bin/env bash
# The gate beside other proxies in one run: a table on standard output, and a picture.
# Usage: benches/peers/run.sh [PICTURE.svg] [more arguments of the bench `carry`]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PATH=$PATH:/usr/sbin
picture=$(realpath -m "${1:-$here/figures.svg}")
shift || true
peers=()
for script in "$here"/*.sh; do
    name=$(basename "$script" .sh)
    [[ $name == run ]] && continue
    if command -v "$name" >/dev/null; then
        peers+=(--peer "$name=$script")
    else
        echo "$name is not installed here and is left out" >&2
    fi
done
cd "$here/../.."
exec cargo bench --locked --bench carry -- --rounds 5 --secs 1 --streams 0 --svg "$picture" "${peers[@]}" "$@"
