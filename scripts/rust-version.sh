#!/usr/bin/env bash
# Checks that the Rust that is there is new enough, and says what to do if not: cargo's own message comes late and once per crate.
#   scripts/rust-version.sh CARGO
set -euo pipefail

wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml")
found=$("$1" --version | cut -d' ' -f2 | cut -d- -f1)
oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
if [ "$oldest" != "$wanted" ]; then
  echo "Rust $found is too old; $wanted or later is needed: rustup update stable" >&2
  exit 1
fi
