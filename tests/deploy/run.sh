#!/usr/bin/env bash
# What is in deploy/, for real: linted, rendered, held against the schemas of Kubernetes, built and run.
#
#   tests/deploy/run.sh           three minutes at most
#   tests/deploy/run.sh --full    also builds the program as it is released, twice; and drains under 50,000 calls
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
tools=target/deploy/tools
"$here/setup.sh" "$tools"
export PATH=$PWD/$tools/bin:$PWD/$tools/python/bin:$PATH:/usr/sbin
calls=5000
image=()
if [[ ${1:-} == --full ]]; then
    calls=50000
    image=(--full)
fi
cargo build --quiet --locked --workspace

"$here/manifests.sh"
python "$here/elsewhere.py"
"$here/image.sh" "${image[@]}"
python3 "$here/network.py" --calls "$calls"
