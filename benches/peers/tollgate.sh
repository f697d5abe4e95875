#!/usr/bin/env bash
# The gate with a key and a policy, and nothing else that can be switched off: no limits, metrics or spans. Decision lines go to nowhere.
# tollgate.sh LISTEN SERVER (TOLLGATE names the program, else it is that of the path)
set -euo pipefail
hash=$(printf 'tollgate-bench-key-of-no-other-use' | sha256sum | cut -d' ' -f1)
mkdir -p policies
cat > tollgate.yaml <<CONF
listen: { address: "$1" }
admin: { address: "127.0.0.1:0" }
servers: { bench: { url: "http://$2/mcp" } }
policies: policies/
CONF
echo "keys: [{ id: bench, hash: \"sha256:$hash\", roles: [caller] }]" > policies/principals.yaml
echo 'server: bench
roles: { caller: { tools: [echo, blob16k, blob1m, sse1, sse100, paced] } }' > policies/bench.yaml
export OTEL_METRICS_EXPORTER=none OTEL_TRACES_EXPORTER=none
exec "${TOLLGATE:-tollgate}" run
