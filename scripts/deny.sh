#!/usr/bin/env bash
# Checks the dependencies against deny.toml: licences, sources and duplicates always, advisories where their database can be reached.
#   scripts/deny.sh             checks; fails where there is no cargo-deny
#   scripts/deny.sh --install   builds cargo-deny before, if there is none (some minutes, once); where that can't be done, says so and goes on
#   SIGNOFF_CI_CACHE            where it is built to (default: ~/.cache/signoff-ci)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.20.2
# How long building it, and fetching the advisories, may take, in seconds.
patience=900 fetching=60
cargo=${CARGO:-cargo}
cache=${SIGNOFF_CI_CACHE:-${HOME:+$HOME/.cache/signoff-ci}}
tools=${cache:+$cache/cargo-deny-$version}

find_deny() {
  if [ -n "$tools" ] && [ -x "$tools/bin/cargo-deny" ]; then
    printf '%s\n' "$tools/bin/cargo-deny"
  else
    command -v cargo-deny
  fi
}

if ! deny=$(find_deny); then
  if [ "${1:-}" != --install ]; then
    echo "There is no cargo-deny. Install it: cargo install --locked cargo-deny" >&2
    exit 1
  fi
  if [ -z "$tools" ] || ! mkdir -p "$tools" 2>/dev/null ||
    ! timeout "$patience" "$cargo" install --quiet --locked --no-default-features "cargo-deny@$version" --root "$tools"; then
    echo "cargo-deny $version can't be had here: THE DEPENDENCIES ARE NOT CHECKED"
    exit 0
  fi
  deny=$(find_deny)
fi

"$deny" --locked check --hide-inclusion-graph licenses sources bans

if timeout "$fetching" "$deny" --log-level off fetch db >/dev/null 2>&1; then
  "$deny" --locked check --hide-inclusion-graph --disable-fetch advisories
else
  echo "advisories NOT CHECKED: their database (github.com/RustSec/advisory-db) can't be reached from here"
fi
