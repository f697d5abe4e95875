#!/usr/bin/env bash
# Installs what the end-to-end tests run beside the gate, where it is missing: Redis or Valkey, Postgres, and
# libfaketime.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || missing+=(redis-server)
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
if ((${#missing[@]})) && command -v apt-get >/dev/null; then
    as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" apt-get update -qq
    # The package would start a server of its own at port 6379 where a service manager runs; RUNLEVEL says that none does.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install --yes -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
