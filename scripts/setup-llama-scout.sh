#!/usr/bin/env bash
# Put Llama 4 Scout to work on Fly.io, in four steps:
#   1 get an OpenRouter key   2 set it as a Fly secret   3 verify the deployment   4 test the service
# The key is read hidden and passed on through standard input alone: it stands on no
# command line, in no file and in no shell history.
set -euo pipefail
set +x +a # a caller's tracing would print the keys
unset key # exported by a caller, it would stand in the environment of fly and curl
access_key=${ZANTARA_KEY:-} # a key of the service's, for its test in step 4
unset ZANTARA_KEY

readonly SECRET=OPENROUTER_API_KEY_LLAMA
readonly KEYS_PAGE=https://openrouter.ai/keys
readonly KEY_ENDPOINT=https://openrouter.ai/api/v1/key
readonly ACTIVE="🦙 Llama 4 Scout ACTIVE"
readonly QUESTION="Quanto capitale serve per una PT PMA?"
readonly POLL_S=2

app="" assume_yes=false dry_run=false steps="1 2 3 4" wait_s=180 key="" set_at="" left=""

usage() {
  cat <<END
Usage: scripts/setup-llama-scout.sh [options]

Asks before each step; a step that fails can be tried again or skipped.

  --app NAME      the Fly app (default: the one in fly.toml)
  --steps LIST    only these steps, such as 3,4 (default: 1,2,3,4)
  --wait SECONDS  how long the new state may take to show in step 3 (default: $wait_s)
  --yes           ask nothing; the key is the first line of standard input
  --dry-run       show what would be run, and run nothing
  -h, --help      this text

ZANTARA_KEY in the environment: a key that the service knows, for step 4. A service that has no
API_KEYS yet is given one in step 2, since it does not start on a public address without; one
with the secret ALLOW_NO_KEYS is left as it is.
END
}

main() {
  parse_arguments "$@"
  say "🦙 Llama 4 Scout on the Fly app $app"
  if $dry_run; then say "Dry run: nothing is asked, run or changed."; fi
  local step
  for step in $steps; do run_step "$step"; done
  if $dry_run; then return; fi
  if [ -n "$left" ]; then
    printf '\n❌ Not done: step%s failed and was skipped; go on with --steps\n' "$left" >&2
    exit 1
  fi
  printf '\n✅ Done. Watch it with: fly logs -a %s | grep "Llama Scout"\n' "$app"
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
      --app) app=$(value_of "$@"); shift ;;
      --steps) steps=$(value_of "$@"); shift ;;
      --wait) wait_s=$(value_of "$@"); shift ;;
      --yes) assume_yes=true ;;
      --dry-run) dry_run=true ;;
      -h | --help) usage && exit 0 ;;
      *) die "unknown option $1" "scripts/setup-llama-scout.sh --help lists the options" ;;
    esac
    shift
  done
  steps=${steps//,/ }
  [[ $steps =~ ^[1-4](\ [1-4])*$ ]] || die "--steps: '$steps'" "give step numbers, such as 3,4"
  [[ $wait_s =~ ^[0-9]+$ ]] || die "--wait: '$wait_s'" "give a number of seconds, such as 180"
  wait_s=$((10#$wait_s)) # 08 is no octal number
  if [ -z "$app" ]; then app=$(app_in_fly_toml); fi
  [[ $app =~ ^[a-z0-9][a-z0-9-]*$ ]] || die "no Fly app called '$app'" "name it: --app nuzantara-rag"
  $dry_run || require_commands
}

value_of() {
  [[ $# -ge 2 && -n $2 && $2 != -* ]] || die "$1 needs a value" "scripts/setup-llama-scout.sh --help lists the options"
  printf '%s' "$2"
}

app_in_fly_toml() {
  sed -n 's/^app *= *["'\'']\(.*\)["'\''].*/\1/p' "$(dirname "$(readlink -f "$0")")/../fly.toml" 2>/dev/null || true
}

require_commands() {
  command -v fly >/dev/null || die "the fly command is missing" \
    "install it (https://fly.io/docs/flyctl/install/), then: fly auth login"
  command -v curl >/dev/null || die "the curl command is missing" "install curl"
  command -v python3 >/dev/null || die "the python3 command is missing" "install Python 3"
}

# One step: asked for, run, and after a failure tried again, skipped, or the end.
run_step() {
  local titles=("" "Get an OpenRouter key" "Set the Fly secret" "Verify the deployment" "Test the service")
  local functions=("" get_key set_secret verify_deployment test_service)
  printf '\n%s/4  %s\n' "$1" "${titles[$1]}"
  if ! $assume_yes && ! $dry_run; then
    case $(choice "     [Enter] run it, [s] skip it, [q] quit: ") in
      s*) say "skipped" && return ;;
      q*) quit ;;
    esac
  fi
  until "${functions[$1]}"; do
    if $assume_yes; then exit 1; fi
    case $(choice "     [Enter] try again, [s] skip it, [q] quit: ") in
      s*) left+=" $1" && say "skipped" && return ;;
      q*) quit ;;
    esac
  done
}

get_key() {
  if $dry_run; then
    would "read the key, hidden, and check it: GET $KEY_ENDPOINT"
    return
  fi
  say "Log in at $KEYS_PAGE, press \"Create Key\" and copy the key (sk-or-v1-…)."
  if $assume_yes; then
    IFS= read -r key || true
  else
    IFS= read -rsp "     Paste it here (it stays hidden): " key || true
    echo
  fi
  key=${key//[[:space:]]/}
  well_formed "$key" || {
    key=""
    failed "that is no OpenRouter key: expected sk-or-v1- and at least 16 letters and digits" \
      "copy the whole key at $KEYS_PAGE; it is shown once, when it is made"
    return 1
  }
  check_key || { key="" && return 1; }
}

well_formed() {
  local LC_ALL=C # elsewhere à is a letter too
  [[ $1 =~ ^sk-or-v1-[A-Za-z0-9_-]{16,}$ ]]
}

check_key() {
  # The header goes through curl's standard input: arguments can be read by every user.
  request "$KEY_ENDPOINT" --config - < <(printf 'header = "Authorization: Bearer %s"\n' "$key")
  case $status in
    200) check_description ;;
    401 | 403) failed "OpenRouter rejected the key (HTTP $status)" "make a new one at $KEYS_PAGE" ;;
    402) check_credit 0 ;;
    429) failed "OpenRouter limits the rate of requests" "wait a minute, then try again" ;;
    000) failed "OpenRouter cannot be reached" "check the network and any proxy, then try again" ;;
    *) failed "OpenRouter answered HTTP $status" \
      "see https://status.openrouter.ai, then try again later" ;;
  esac
}

check_description() {
  [ -n "$(field data)" ] || {
    failed "what answered in OpenRouter's place describes no key" \
      "a network's login page, or a proxy: get past it, then try again"
    return 1
  }
  check_credit "$(field data.limit_remaining)"
}

check_credit() {
  case $1 in
    "") say "✅ The key works. It has no limit of its own." ;;
    0 | 0.0 | -*) failed "the key's credit is spent" "top it up at https://openrouter.ai/credits" ;;
    *) say "✅ The key works. Credit left on it: \$$1." ;;
  esac
}

set_secret() {
  if $dry_run; then
    would "fly secrets import -a $app   # $SECRET=…, and API_KEYS=… where neither it nor ALLOW_NO_KEYS is set"
    return
  fi
  local secrets
  secrets=$(fly secrets list -a "$app") || {
    failed "fly does not list the secrets of $app" "log in (fly auth login), check: fly apps list"
    return 1
  }
  if [ -z "$key" ]; then
    grep -qw "$SECRET" <<<"$secrets" && say "✅ $SECRET is set already." && return
    failed "there is no key to set, and $SECRET is not set on $app" "run step 1: --steps 1,2,3,4"
    return 1
  fi
  say "Setting it restarts the app, which takes 30 to 60 seconds."
  set_at=$SECONDS
  local made=""
  # With ALLOW_NO_KEYS everybody is answered: a first key would shut them out.
  if ! grep -qwE 'API_KEYS|ALLOW_NO_KEYS' <<<"$secrets"; then
    made=$(python3 -c 'import secrets; print("zantara-" + secrets.token_urlsafe(32))')
  fi
  printf '%s\n' "$SECRET=$key" ${made:+"API_KEYS=$made"} | fly secrets import -a "$app" || {
    failed "fly could not set the secret" "log in (fly auth login), check the name (fly apps list)"
    return 1
  }
  if [ -n "$made" ]; then
    access_key=$made
    say "🔑 The service answers whoever sends this key; it is shown this once, so keep it:"
    say "$made"
  fi
}

verify_deployment() {
  if $dry_run; then
    would "fly status -a $app"
    would "GET $(url /health) every $POLL_S s, for $wait_s s at most, until it says: $ACTIVE"
    return
  fi
  fly status -a "$app" || {
    failed "fly does not know the state of $app" "log in (fly auth login), check: fly apps list"
    return 1
  }
  local state="" shown="" until=$((SECONDS + wait_s))
  while true; do
    request "$(url /health)" --config - < <(authorization)
    state=$(state_of_service)
    if [ "$state" != "$shown" ]; then say "$state" && shown=$state; fi
    if [ "$state" = "$ACTIVE" ]; then
      if [ -n "$(field uptime_s)" ] && [ -z "$(field providers.haiku.key)" ]; then
        say "⚠️  Haiku has no key: nobody answers when Llama can't. Set ANTHROPIC_API_KEY (docs/deploy.md)"
      fi
      return
    fi
    if ((SECONDS >= until)); then break; fi
    sleep "$POLL_S"
  done
  failed "after $wait_s s $(url /health) does not say: $ACTIVE" "$(fix_for "$state")"
}

# What `body` says of the service: $ACTIVE alone where it has accepted the key that was set.
state_of_service() {
  local state uptime
  state=$(field features.ai.status)
  if [ "$state" != "$ACTIVE" ]; then
    echo "${state:-no answer yet (HTTP $status)}"
    return
  fi
  uptime=$(field uptime_s) uptime=${uptime%.*}
  # Strangers are not told of keys, nor since when the service runs.
  if [ -z "$uptime" ]; then
    echo "$ACTIVE"
  elif [ -n "$set_at" ] && ! [[ $uptime =~ ^[0-9]+$ && $uptime -le $((SECONDS - set_at)) ]]; then
    echo "the process from before the new secret still runs"
  elif [ "$(field providers.llama-scout.key)" != valid ]; then
    echo "OpenRouter has not accepted the key yet"
  else
    echo "$ACTIVE"
  fi
}

# A configuration of curl's, so that no other user sees the key among the processes.
authorization() {
  [ -z "$access_key" ] || printf 'header = "Authorization: Bearer %s"\n' "$access_key"
}

fix_for() {
  case $1 in
    *rejected*) echo "the service was given a bad key: run steps 1 to 4 again" ;;
    *credit*) echo "top up at https://openrouter.ai/credits; it is noticed within 5 minutes" ;;
    *FORCE_HAIKU*) echo "fly secrets unset FORCE_HAIKU -a $app, or take it out of fly.toml" ;;
    *"circuit open"*) echo "Llama keeps failing: fly logs -a $app | grep 'Llama Scout'" ;;
    *"add $SECRET"* | *"No AI"* | *"from before"*) echo "the secret is not deployed: fly secrets deploy -a $app" ;;
    *"not accepted"*) echo "can the app reach OpenRouter? fly logs -a $app; step 4 tries it" ;;
    *) echo "see what the app says: fly logs -a $app" ;;
  esac
}

test_service() {
  if $dry_run; then
    would "POST $(url /chat)   # {\"message\": \"$QUESTION\"}"
    return
  fi
  say "Asking: $QUESTION"
  request "$(url /chat)" --max-time 150 --config - \
    --header "Content-Type: application/json" --data "{\"message\": \"$QUESTION\"}" \
    < <(authorization)
  local ai_used reason detail
  if [ "$status" = 401 ]; then
    failed "the service asks for a key that it knows" \
      "ZANTARA_KEY=… $0 --steps 4, or make one: fly ssh console -a $app -C '/srv/.venv/bin/zantara keys create NAME'"
    return 1
  fi
  if [ "$status" != 200 ]; then
    detail=$(field detail)
    if [ "$status" = 000 ]; then detail="it did not answer within 150 s, or cannot be reached"; fi
    failed "/chat: HTTP $status${detail:+, $detail}" "see why: fly logs -a $app"
    return 1
  fi
  ai_used=$(field ai_used) reason=$(field fallback_reason)
  if [ "$ai_used" = extractive ]; then
    failed "no model answered: the answer is quotes from the documents" \
      "see why: fly logs -a $app | grep Failed; curl $(url /health) names what is wrong"
    return 1
  fi
  say "model   $(field model) ($ai_used${reason:+, $reason})"
  say "cost    $(dollars cost_usd)"
  say "saved   $(dollars saved_usd) vs Haiku"
  [ "$ai_used" = llama-scout ] || failed "the answer came from $ai_used, not from Llama${reason:+ ($reason)}" \
    "see why: fly logs -a $app | grep 'Falling back to Haiku'; docs/operations.md has each reason"
}

# GET, or what the further arguments of curl make of it: sets `status` (000: no answer) and `body`.
request() {
  local answer
  answer=$(curl --silent --show-error --max-time 15 --write-out '\n%{http_code}' "${@:2}" "$1") || true
  status=${answer##*$'\n'} body=${answer%$'\n'*}
  [[ $status =~ ^[0-9]{3}$ ]] || status=000
}

# The field of `body` under a dotted path; nothing where there is none.
field() {
  python3 -c '
import json, sys
try:
    value = json.load(sys.stdin)
    for name in sys.argv[1].split("."):
        value = value[name]
except (ValueError, KeyError, TypeError):
    value = None
print("" if value is None else value)' "$1" <<<"$body"
}

dollars() {
  local amount
  amount=$(field "$1")
  if [ -n "$amount" ]; then LC_ALL=C printf '$%.5f' "$amount"; else printf 'unknown'; fi
}

choice() {
  local answer
  # The end of the input is no consent.
  read -rp "$1" answer || answer=q
  printf '%s' "$answer"
}

url() { printf 'https://%s.fly.dev%s' "$app" "$1"; }
say() { printf '     %s\n' "$*"; }
would() { say "would run: $*"; }
quit() { say "stopped; go on any time with --steps" && exit 1; }
failed() { printf '     ❌ %s\n     → %s\n' "$1" "$2" >&2 && return 1; }
die() { printf 'setup-llama-scout: %s\n→ %s\n' "$1" "$2" >&2 && exit 2; }

main "$@"
