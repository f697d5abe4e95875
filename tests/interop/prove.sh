#!/usr/bin/env bash
# Shows that the interop checks notice faults: a stand-in for the gate must pass them while it only carries, and must
# fail them with each fault. Not a part of run.sh, because it tests the tests.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
run() { FAULT=$1 "$here/run.sh" --gate "python3 $here/broken_gate.py" --only "$2"; }

run "" "^(records|everything|bulletin|scripted) · (python|typescript|raw|inspector)"

wrong=0
while read -r fault check; do
    if run "$fault" "$check" >/dev/null; then
        echo "NOT NOTICED $fault by $check"
        wrong=1
    else
        echo "noticed $fault"
    fi
done <<'FAULTS'
session records . typescript v1
version records . typescript v2-auto
argument bulletin . typescript
rename-tool everything . typescript v1
rename-record records . python auto
type records . python legacy
status records . typescript v1
progress everything . python legacy
resume scripted
buffer scripted
deaf scripted
reorder scripted
respell scripted
comments scripted
ids scripted
truncate scripted
FAULTS
exit "$wrong"
