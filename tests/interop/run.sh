#!/usr/bin/env bash
# Sets up, then runs every interop check; see run.py for the options.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${INTEROP_CACHE:-$here/../../target/interop}
"$here/setup.sh" "$cache"
exec "$cache/python-2/bin/python" "$here/run.py" --cache "$cache" "$@"
