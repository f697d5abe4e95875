#!/usr/bin/env bash
# Shows that the interop checks notice faults: a stand-in for the gate must pass them while it only carries, and must
# fail them with each fault. Not a part of run.sh, because it tests the tests. Usage: prove.sh [GATE]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
gate=${1:-$here/../../target/debug/tollgate}
run() { FAULT=$1 BEHIND=$2 "$here/run.sh" --gate "python3 $here/broken_gate.py" --only "$3"; }

# Where answers of the gate's own are expected, there is a gate behind the stand-in.
run "" "" "^scripted . (raw|streaming)"
run "" "$gate" " . (python|fastmcp|langchain|typescript|inspector|odd requests)"

wrong=0
while read -r fault check; do
    behind=$gate
    if [[ $check == scripted* || $fault == none ]]; then
        behind=
    fi
    if run "$fault" "$behind" "$check" >/dev/null; then
        echo "NOT NOTICED $fault by $check"
        wrong=1
    else
        echo "noticed $fault by $check"
    fi
done <<'FAULTS'
session records . typescript v1
session python-1 . python 1
version records . typescript v2-auto
version typescript-v2 . inspector auto
downgrade typescript-v2 . python 2 auto
downgrade records . fastmcp 4 auto
downgrade typescript-v2-only . typescript v2-auto
downgrade typescript-v2 . inspector auto
argument bulletin . typescript
rename-tool everything . typescript v1
rename-tool fastmcp-3 . langchain
rename-tool typescript-v1 . inspector
rename-record records . python 2 auto
type records . python 2 legacy
status records . typescript v1
progress everything . python 2 legacy
progress fastmcp-3 . fastmcp 3
resume scripted . raw
buffer scripted . raw
deaf scripted . raw
reorder scripted . raw
respell scripted . raw
comments scripted . raw
ids scripted . raw
truncate scripted . raw
late scripted . streaming
buffer scripted . streaming
deaf scripted . streaming
uncancelled scripted . streaming
cross scripted . streaming
short scripted . streaming
truncate scripted . streaming
comments scripted . streaming
deaf python-1 . reconnect
none records . odd requests
none records . python 2 auto
host typescript-v2 . odd requests
alias everything . odd requests
accept python-1 . odd requests
words typescript-v1 . odd requests
type bulletin . odd requests
status records . odd requests
FAULTS
exit "$wrong"
