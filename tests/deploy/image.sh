#!/usr/bin/env bash
# The Dockerfile is linted, its final stage built and run as it is in production: on nothing, as nobody.
#
# Without --full the program in it is the one that the other tests run, with the libraries that it needs. With --full it is
# built as it is released: static, twice, to the same bytes, and at most 20 MiB packed.
set -euo pipefail

cd "$(dirname "$0")/../.."
hadolint deploy/Dockerfile
work=$PWD/target/deploy/image
case $(uname -m) in
    aarch64) machine=arm64 ;;
    *) machine=amd64 ;;
esac
out=$work/context/out/$machine
rm -rf "$work" && mkdir -p "$out"

if [[ ${1:-} == --full ]]; then
    deploy/build.sh "$out"
    # Elsewhere, from nothing: what differs would be a path, a time, or an order.
    git worktree add --quiet --detach "$work/elsewhere" HEAD
    CARGO_TARGET_DIR=$work/elsewhere/target "$work/elsewhere/deploy/build.sh" "$work/again"
    git worktree remove --force "$work/elsewhere"
    cmp "$out/tollgate" "$work/again/tollgate"
    packed=$(gzip -9 --stdout "$out/tollgate" | wc -c)
    echo "image: static, the same bytes twice, $((packed / 1024)) KiB packed"
    ((packed <= 20 << 20))
    if ldd "$out/tollgate" >/dev/null 2>&1 && ! ldd "$out/tollgate" | grep --quiet "statically linked"; then
        echo "image: the program is not static" >&2
        exit 1
    fi
else
    install -m 0755 target/debug/tollgate "$out/tollgate"
    strip "$out/tollgate"
    # `=> /lib/x.so (0x…)`, and the loader, which stands alone.
    ldd "$out/tollgate" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' |
        while read -r library; do install -D "$(readlink -f "$library")" "$out$library"; done
fi

if [[ $(id -u) != 0 ]]; then
    echo "image: SKIPPED, only root can run a container by chroot"
    exit 0
fi
store=(buildah --storage-driver vfs --root "$work/store" --runroot "$work/run")
"${store[@]}" build --quiet --format docker --isolation chroot --build-arg PROGRAM=given \
    --tag tollgate --file deploy/Dockerfile "$work/context" >/dev/null
container=$("${store[@]}" from --pull-never localhost/tollgate)
serving=
end() {
    [[ -z $serving ]] || kill "$serving" 2>/dev/null || true
    "${store[@]}" rm --all >/dev/null
    rm -rf "$work/store" "$work/run"
}
trap end EXIT

inspected=$("${store[@]}" inspect --type image --format \
    '{{.Docker.Config.User}} {{.Docker.Config.Healthcheck.Test}} {{.Docker.Config.Entrypoint}}' localhost/tollgate)
[[ $inspected == "65532:65532 [CMD /tollgate health] [/tollgate]" ]] || { echo "image: $inspected" >&2; exit 1; }
if "${store[@]}" run --isolation chroot "$container" -- /bin/sh -c true 2>/dev/null; then
    echo "image: it has a shell" >&2
    exit 1
fi

# A folder of policies as it is mounted, and a gate in the container; its health is asked for as Docker does.
home=$work/home
mkdir -p "$home/policies"
cp policies/records.yaml "$home/policies/"
target/debug/tollgate keys new --id a --role reader | sed -n '/^keys:/,/^$/p' >"$home/policies/principals.yaml"
chmod -R a+rX "$home"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
run=("${store[@]}" run --isolation chroot --volume "$home:/etc/tollgate:ro" --env "TOLLGATE_ADMIN=127.0.0.1:$port"
    --env OTEL_TRACES_EXPORTER=none "$container" -- /tollgate)
"${run[@]}" run --server records=http://127.0.0.1:1/mcp --listen 127.0.0.1:0 --admin "127.0.0.1:$port" >"$work/log" 2>&1 &
serving=$!
for _ in $(seq 100); do
    if "${run[@]}" health --live >/dev/null 2>&1; then
        lives=1
        break
    fi
    kill -0 "$serving" 2>/dev/null || break
done
[[ ${lives:-} == 1 ]] || { cat "$work/log" >&2; exit 1; }
# Without its server it is not ready, and says so.
if said=$("${run[@]}" health 2>&1) || [[ $said != *upstream* ]]; then
    echo "image: health says $said" >&2
    exit 1
fi
gate=$(pgrep -f "^/tollgate run .*--admin 127.0.0.1:$port" --uid 65532)
[[ -n $gate ]] || { echo "image: no gate runs as 65532" >&2; exit 1; }
kill -TERM "$gate"
wait "$serving" || { cat "$work/log" >&2; exit 1; }
serving=
echo "image: built on nothing, runs as 65532, healthy by its own word, ends cleanly"
