#!/usr/bin/env bash
# Installs what is listed in a requirements file from PyPI, once, into an environment of its own, and prints the directory of its programs.
#   scripts/python-tools.sh scripts/requirements/package.txt
#   SIGNOFF_TOOLS   where such environments are kept (default: ~/.cache/signoff/tools)
#   PYTHON          the Python to use (default: python3); tried with 3.11
set -euo pipefail

list=$1
python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "There is no $python: Python 3 is needed for $(basename "$list" .txt)." >&2; exit 1; }
root=${SIGNOFF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/signoff/tools}
# Another list or another Python is another environment.
print='import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],"rb").read()+sys.version.encode()).hexdigest()[:16])'
place=$root/$(basename "$list" .txt)-$("$python" -c "$print" "$list")
mkdir -p "$root"
# Whoever comes second waits.
if command -v flock >/dev/null; then
  exec 9>"$place.lock"
  flock 9
fi
if [ ! -e "$place/complete" ]; then
  rm -rf "$place"
  "$python" -m venv "$place" >&2
  # What is listed is all that is needed: nothing else comes along.
  if ! "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --requirement "$list" >&2; then
    rm -rf "$place"
    echo "What $list lists can't be installed from PyPI; without it this can't be done." >&2
    exit 1
  fi
  touch "$place/complete"
fi
printf '%s\n' "$place/bin"
