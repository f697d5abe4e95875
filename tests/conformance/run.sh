#!/usr/bin/env bash
# Sets up, then runs the conformance suite directly and through the gate; see run.py for the options.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${CONFORMANCE_CACHE:-$here/../../target/conformance}
"$here/setup.sh" "$cache"
exec python3 "$here/run.py" --cache "$cache" "$@"
