#!/usr/bin/env bash
# Dashboards, rules and collectors, for real: rules by promtool, every query by a Prometheus that scrapes a gate which is
# driven through its faults, collectors and compose files by their structure. Ninety seconds at most.
#
#   tests/observability/run.sh
#   TOLLGATE=…, TOLLGATE_DEMO=… name programs that are built already
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
missing=()
command -v promtool >/dev/null || missing+=(prometheus)
command -v redis-server >/dev/null || missing+=(redis-server)
if ((${#missing[@]})); then
    as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
venv=target/observability/python
if ! cmp --silent "$here/requirements.txt" "$venv/installed"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed"
fi

deploy/observability/dashboards.py --check
promtool check rules deploy/observability/rules.yaml
promtool test rules deploy/observability/rules.test.yaml
"$venv/bin/python" "$here/files.py"
if [[ -z ${TOLLGATE:-} || -z ${TOLLGATE_DEMO:-} ]]; then
    cargo build --quiet --locked --workspace
fi
export TOLLGATE=${TOLLGATE:-target/debug/tollgate} TOLLGATE_DEMO=${TOLLGATE_DEMO:-target/debug/tollgate-demo}
"$venv/bin/python" "$here/queries.py"
