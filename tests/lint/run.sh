#!/usr/bin/env bash
# Looks at what no compiler reads: scripts, the action, the hooks. Installs what it needs into target/lint.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
venv=target/lint
if ! cmp --silent "$here/requirements.txt" "$venv/installed"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed"
fi

git ls-files -z '*.sh' .ci/run | xargs -0 "$venv/bin/shellcheck"
"$venv/bin/check-jsonschema" --builtin-schema vendor.github-actions action.yml
"$venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose*.yaml
"$venv/bin/pre-commit" validate-manifest .pre-commit-hooks.yaml
