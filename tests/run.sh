#!/usr/bin/env bash
# The whole suite, quickest checks first. Installs what it needs for itself into target/.
#
# Needs: Rust, a C compiler, Python 3 and Node 20 or later. PostgreSQL, Redis, libfaketime,
# buildah, HAProxy and Prometheus are installed by apt-get where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$1"; }

step "format"
cargo fmt --check

step "the house's shape"
cargo test --quiet --locked --test architecture

step "lints"
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

step "scripts, the action, the hooks"
tests/lint/run.sh

step "unit and end-to-end tests"
tests/it/setup.sh
cargo test --locked --workspace

step "the shipped policies, by the program's own check and their own cases"
check=$(mktemp -d)
trap 'rm -rf "$check"' EXIT
cp -r policies "$check/policies"
target/debug/tollgate keys new --id suite --role reader --role operator > "$check/key"
sed -n '/^keys:/,$p' "$check/key" > "$check/policies/principals.yaml"
target/debug/tollgate check --deny warnings "$check/policies"
target/debug/tollgate test --require-coverage 100 "$check/policies"

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps

step "benchmarks run"
cargo test --quiet --locked --benches

step "where it runs: image, chart, sidecar, network"
tests/deploy/run.sh

step "dashboards, rules, collectors"
tests/observability/run.sh

step "real servers and clients, directly and through the gate"
tests/interop/run.sh

step "the official conformance suite, directly and through the gate"
tests/conformance/run.sh

step "all green"
