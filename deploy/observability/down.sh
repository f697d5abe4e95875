#!/usr/bin/env bash
# Ends what up.sh began, and throws away its data.
set -euo pipefail
cd "$(dirname "$0")/.."
POLICIES=/nonexistent docker compose -f compose.yaml -f compose.observability.yaml down --volumes
