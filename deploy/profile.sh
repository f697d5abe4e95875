#!/usr/bin/env bash
# Makes a profile of the program, from which a compiler learns what is worth its while and what lies where.
# Usage: deploy/profile.sh FILE, then PROFILE=FILE deploy/build.sh FOLDER
#
# Needs what deploy/build.sh needs, and rustup's llvm-tools. What runs is a start, an idle while, and the load of the bench `carry` with
# everything told: calls, streams, large answers. A profile fits the source that it was made from, on its platform; of another source it helps
# less, and of another folder hardly at all: names depend on it. Half an hour on two busy cores.
set -euo pipefail

file=$(realpath -m "$1")
cd "$(dirname "$0")/.."
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc --version --verbose | sed -n 's/^host: //p')/bin
if [[ ! -x $tools/llvm-profdata ]]; then
    rustup component add llvm-tools
fi
# Where memory is a file system the audit log is written there, so that the gate is what is loaded, and not a disk.
work=$(TMPDIR=$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp) mktemp -d)
trap 'rm -rf "$work"' EXIT

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/profile
COUNTS=$target/counts CARGO_TARGET_DIR=$target deploy/build.sh "$work/out" >&2
gate=$work/out/tollgate

# A start, and what a gate does without calls: probes, look-ups, looks at files. Its counts weigh a hundred times: they are few beside
# those of calls, and what has nearly none is laid among what never runs, from where the kernel would bring its neighbours along.
mkdir "$work/policies"
cp policies/records.yaml "$work/policies/"
LLVM_PROFILE_FILE=/dev/null "$gate" keys new --id a --role reader 2>/dev/null | sed -n '/^keys:/,/^$/p' >"$work/policies/principals.yaml"
admin=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(
    cd "$work"
    LLVM_PROFILE_FILE=$work/start.profraw exec "$gate" run --server records=http://127.0.0.1:1/mcp --listen 127.0.0.1:0 --admin "$admin"
) >"$work/log" 2>&1 &
started=$!
until LLVM_PROFILE_FILE=/dev/null "$gate" health --live --admin "$admin" >/dev/null 2>&1; do
    kill -0 "$started" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
done
sleep 12
kill "$started"
wait "$started"

rm -rf "$target/counts"
TMPDIR=$work cargo bench --quiet --locked --profile dev --bench carry -- --gate "$gate" --rounds 2 --streams 2 >&2
"$tools/llvm-profdata" merge --output "$file" --weighted-input=100,"$work/start.profraw" "$target/counts"
