#!/usr/bin/env bash
# Builds the program as it is released: static, stripped, the same bytes from the same source wherever it is built.
# Usage: deploy/build.sh FOLDER
#
#   TARGET     the platform [default: musl where this toolchain has it, else static glibc of this machine]
#   AUDITABLE  `1` adds the list of crates to the program (needs cargo-auditable), for scanners
#   PROFILE    a profile of the program under load, of the same source, folder and platform (profile.sh makes it): who builds the
#              same again needs it, too
#   COUNTS     a folder: the program counts what it runs and writes that there when it ends. For profile.sh
set -euo pipefail

out=$1
cd "$(dirname "$0")/.."
sysroot=$(rustc --print sysroot)
machine=$(rustc --version --verbose | sed -n 's/^host: \([^-]*\)-.*/\1/p')
installed() { [[ -d $sysroot/lib/rustlib/$1 ]]; }
target=${TARGET:-}
if [[ -z $target ]]; then
    target=$machine-unknown-linux-gnu
    if installed "$machine-unknown-linux-musl" && command -v musl-gcc >/dev/null; then
        target=$machine-unknown-linux-musl
    fi
fi

# Where the source, the crates and the toolchain lie is no part of the program.
home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols \
--remap-path-prefix=$PWD=/src --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust"
# Where things are moved to when it starts is told in 16 KiB instead of 1.4 MiB, all of which would be resident.
RUSTFLAGS+=" -C link-arg=-Wl,-z,pack-relative-relocs"
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$home=/cargo"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
if [[ -n ${PROFILE:-} ]]; then
    [[ -f $PROFILE ]] || { echo "build: there is no profile at $PROFILE; deploy/profile.sh makes one" >&2; exit 1; }
    # What is called lies together, apart from what never is: the linker keeps what the compiler knows of it.
    RUSTFLAGS+=" -C profile-use=$(realpath "$PROFILE") -C link-arg=-Wl,-z,keep-text-section-prefix"
fi
if [[ -n ${COUNTS:-} ]]; then
    RUSTFLAGS+=" -C profile-generate=$COUNTS"
fi
build=(build)
if [[ ${AUDITABLE:-} == 1 ]]; then
    build=(auditable build)
fi
cargo "${build[@]}" --release --locked --target "$target" --bin tollgate >&2

mkdir -p "$out/etc/ssl/certs"
install -m 0755 "${CARGO_TARGET_DIR:-target}/$target/release/tollgate" "$out/tollgate"
# Whom to believe when a server or a collector is reached by https.
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-certificates.crt"
sha256sum "$out/tollgate"
