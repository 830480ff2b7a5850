#!/usr/bin/env bash
# Packages the functions for Lambda: target/lambda/<name>/bootstrap.zip, with the program itself beside it. The same source gives the same bytes.
#   scripts/package.sh           packages, and prints the sizes
#   scripts/package.sh --twice   packages a second time from nothing, elsewhere, and compares: takes as long as a clean release build
#   ARCH=x86_64 | arm64          what to package for (default: x86_64)
#   HELLO=1                      builds a function that does nothing into target/lambda-hello, too: the benchmark compares with it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The C library of Lambda's provided.al2023.
glibc=2.34
cargo=${CARGO:-cargo}

case ${ARCH:-x86_64} in
  x86_64 | x86-64 | amd64) wanted=x86_64 ;;
  arm64 | aarch64) wanted=aarch64 ;;
  *) echo "ARCH is x86_64 or arm64, not ${ARCH}." >&2; exit 1 ;;
esac
has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1-unknown-linux-gnu/lib" ]; }
if ! has_target "$wanted"; then
  own=$(uname -m | sed 's/^arm64$/aarch64/')
  echo "Rust can't build for $wanted-unknown-linux-gnu here. This installs what it needs: rustup target add $wanted-unknown-linux-gnu" >&2
  has_target "$own" || exit 1
  echo "Packaging for this machine's own architecture, $own, instead: set signoff:architecture in infra/ accordingly." >&2
  wanted=$own
fi
target=$wanted-unknown-linux-gnu

tools=$(scripts/python-tools.sh scripts/requirements/package.txt)
sources=${CARGO_HOME:-$HOME/.cargo}
packages=(--package signoff-functions)
if [ -n "${HELLO:-}" ]; then packages+=(--package hello); fi
# build OUTPUT: the programs into OUTPUT, with cargo's target directory as it is set.
build() {
  # Paths of this machine are no part of what is built: neither those in panics nor those in the messages of C code.
  # rustup is asked nothing: what is missing was found out above.
  PATH=$tools:$PATH RUSTUP_DIST_SERVER=http://127.0.0.1:9 \
    RUSTFLAGS="--remap-path-prefix=$sources=/cargo --remap-path-prefix=$PWD=/signoff ${CARGO_TARGET_DIR:+--remap-path-prefix=$CARGO_TARGET_DIR=/signoff/target}" \
    CFLAGS="-ffile-prefix-map=$sources=/cargo" \
    "$tools/cargo-lambda" lambda build --quiet --locked --release --skip-target-check --target "$target.$glibc" --lambda-dir "$1" \
    "${packages[@]}" --bins
}

"$cargo" --version >/dev/null
echo "packaging for $target, glibc $glibc"
rm -rf target/lambda target/lambda-hello
build "$PWD/target/lambda"
if [ -n "${HELLO:-}" ]; then mkdir target/lambda-hello && mv target/lambda/hello target/lambda-hello; fi
"$tools/python" scripts/archive.py "$glibc" target/lambda
if [ "${1:-}" = --twice ]; then
  again=$(mktemp -d)
  trap 'rm -rf "$again"' EXIT
  echo "packaging again, from nothing"
  CARGO_TARGET_DIR=$again/target build "$again/lambda"
  "$tools/python" scripts/archive.py "$glibc" "$again/lambda"
  for archive in target/lambda/*/bootstrap.zip; do
    cmp "$archive" "$again/${archive#target/}"
  done
  echo "twice the same bytes"
fi
