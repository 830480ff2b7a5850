#!/usr/bin/env bash
# One gated deployment from the request to its end, against a simulated Pulumi Cloud, in a directory of its own.
#   SIGNOFF=PATH     the binary (default: target/debug/signoff)
#   INTERACTIVE=1    you are the reviewer: it waits until you approve
# Exits 0 only if everything went as told. Leaves nothing running and nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

signoff=${SIGNOFF:-target/debug/signoff}
interactive=${INTERACTIVE:-}
[ "$interactive" = 0 ] && interactive=
# How long anything but a person may take, in seconds.
patience=60

# Nothing of the caller's own: the demo talks to nobody but its own processes.
unset PULUMI_ACCESS_TOKEN SIGNOFF_URL SIGNOFF_PULUMI_URL SIGNOFF_DEPLOYER_TOKEN SIGNOFF_WEBHOOK_SECRET

bold= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

fail() {
  printf '\nThe demo failed: %s\n' "$*" >&2
  if [ -s "$dir/log" ]; then
    printf 'The last lines of signoff'\''s log, without the answers that it gave:\n' >&2
    grep -v '::edge: answered' "$dir/log" | tail -n 30 >&2
  fi
  exit 1
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/signoff-demo.XXXXXX")
server=

clean_up() {
  status=$?
  trap - EXIT
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$dir"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# as LOGIN COMMAND...: shows a command and runs it as one of acme's people.
as() {
  local login=$1
  shift
  printf '%s%s$ signoff %s%s\n' "$dim" "$login" "$(quoted "$@")" "$plain"
  PULUMI_ACCESS_TOKEN=pul-$login "$signoff" "$@"
}

quoted() {
  local word text=
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@-]*|'') text+=" '$word'" ;;
      *) text+=" $word" ;;
    esac
  done
  printf '%s' "${text# }"
}

# The request as JSON, without saying so.
state_of() { PULUMI_ACCESS_TOKEN=pul-alice "$signoff" show "$1" --json; }

# await PATTERN WHAT: until the request's JSON holds a line that matches.
await() {
  local deadline=$((SECONDS + patience))
  until state_of "$request" 2>/dev/null | grep -Eq "$1"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$2 within $patience s"
    sleep 0.2
  done
}

# line PREFIX: the rest of the line of the server's output that begins so, as soon as there is one.
line() {
  local deadline=$((SECONDS + patience)) found
  while :; do
    found=$(sed -n "s|^$1||p" "$dir/out" | head -n 1)
    if [ -n "$found" ]; then
      printf '%s' "${found%% *}"
      return
    fi
    kill -0 "$server" 2>/dev/null || fail "signoff local ended: $(tail -n 5 "$dir/log")"
    [ "$SECONDS" -lt "$deadline" ] || fail "signoff local did not say \"$1\" within $patience s"
    sleep 0.1
  done
}

[ -x "$signoff" ] || fail "$signoff is not there; run: make demo"

cat > "$dir/signoff.toml" <<'TOML'
[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
access-duration = "10m"
grant-expiration = "10m"
TOML

say "signoff and a simulated Pulumi Cloud start, in a directory of their own"
printf '%s$ signoff local --simulate%s\n' "$dim" "$plain"
: > "$dir/out"
"$signoff" local --simulate --listen 127.0.0.1:0 --data-dir "$dir/data" --config "$dir/signoff.toml" \
  --reconcile-every 1s > "$dir/out" 2> "$dir/log" &
server=$!
cloud=$(line 'simulated Pulumi Cloud on ')
SIGNOFF_URL=$(line 'signoff is ready on ')
SIGNOFF_PULUMI_URL=$cloud
export SIGNOFF_URL SIGNOFF_PULUMI_URL
printf 'simulated Pulumi Cloud on %s\nsignoff is ready on %s\n' "$cloud" "$SIGNOFF_URL"

say "alice asks for a deployment"
asked=$(as alice request acme/web/prod update --reason 'Ship 2.4' --json) || fail "alice could not ask"
printf '%s\n' "$asked" | head -n 1
request=$(printf '%s\n' "$asked" | grep -Eo 'req_[0-9A-Z]{26}' | head -n 1) || fail "the answer names no request"
printf '%s\n' "$request"
await '"state": *"pending_approval"' "the request was not waiting for approval"

say "It waits, and says for what"
as alice show "$request"

if [ -n "$interactive" ]; then
  say "Now you are the reviewer"
  cat <<TEXT
Open the simulated Pulumi Cloud's page, be bob, and approve:
  $cloud/?as=bob
or say so in another terminal:
  SIGNOFF_URL=$SIGNOFF_URL SIGNOFF_PULUMI_URL=$cloud PULUMI_ACCESS_TOKEN=pul-bob $signoff approve $request
(As alice, with pul-alice, it does not count. Ctrl-C ends the demo.)

TEXT
else
  say "alice approves it herself: a reviewer she is, but it does not count"
  as alice approve "$request" --yes || fail "alice could not approve"
  await '"kind": *"self-approval"' "alice's own approval was not seen not to count"
  as alice show "$request"
  state_of "$request" | grep -Eq '"state": *"pending_approval"' || fail "alice's own approval counted"

  say "bob approves, with his own token, at Pulumi Cloud"
  as bob approve "$request" --yes || fail "bob could not approve"
  say "It is applied, deployed, and followed to its end"
fi

as alice watch "$request" || fail "the deployment did not succeed (exit status $?)"
state_of "$request" | grep -Eq '"state": *"succeeded"' || fail "the request is not succeeded"

say "What happened, and who did it"
as alice events "$request"

say "The trail is a hash chain: dave, an admin, exports it and checks it"
printf '%sdave$ signoff audit export | signoff audit verify -%s\n' "$dim" "$plain"
export PULUMI_ACCESS_TOKEN=pul-dave
"$signoff" audit export > "$dir/trail" || fail "the trail could not be exported"
[ -s "$dir/trail" ] || fail "the exported trail is empty"
"$signoff" audit verify - < "$dir/trail" || fail "the trail does not verify"
unset PULUMI_ACCESS_TOKEN

say "One letter changed in it"
printf '%sdave$ sed s/alice/malice/ trail | signoff audit verify -%s\n' "$dim" "$plain"
if sed 's/alice/malice/' "$dir/trail" | "$signoff" audit verify -; then
  fail "a changed trail verified"
fi

kill -TERM "$server"
wait "$server" || fail "signoff local did not end well (exit status $?)"
server=
say "The demo worked: asked, waited, signed off, deployed; nothing is left running."
