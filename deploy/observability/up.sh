#!/usr/bin/env bash
# The demo with everything that looks at it, on this machine: http://127.0.0.1:3000. down.sh ends it.
#
#   deploy/observability/up.sh             with Collector, Tempo, Prometheus, Loki and Grafana
#   deploy/observability/up.sh --plain     without
set -euo pipefail
cd "$(dirname "$0")/.."
files=(-f compose.yaml -f compose.observability.yaml)
[[ ${1:-} != --plain ]] || files=(-f compose.yaml)

# Policies with a key of their own: none that everybody can read stands in the repository.
policies=../target/observability/policies
if [[ ! -f $policies/principals.yaml ]]; then
    docker build --quiet --file Dockerfile --tag tollgate .. >/dev/null
    mkdir -p "$policies"
    made=$(docker run --rm tollgate keys new --id you --role operator)
    head -n 1 <<<"$made" >"$policies/../key"
    chmod 600 "$policies/../key"
    sed -n '/^keys:/,$p' <<<"$made" >"$policies/principals.yaml"
    cp ../policies/records.yaml "$policies/"
fi
POLICIES=$(realpath "$policies") docker compose "${files[@]}" up --detach --build
echo "MCP at http://127.0.0.1:8080/mcp with the key in target/observability/key; Grafana at http://127.0.0.1:3000"
