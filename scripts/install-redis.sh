#!/usr/bin/env bash
# Put a link to redis-server at $1: shared limits are tested with it. Debian's package of tools has
# the same program under another name, and starts no service where it is installed.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

target=$1
if ! command -v redis-server redis-check-rdb >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { apt-get -qq install -y --no-install-recommends redis-tools ||
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends redis-tools; }; } \
    >"$log" 2>&1; then
    cat "$log" >&2
  fi
fi
if found=$(command -v redis-server || command -v redis-check-rdb); then
  ln -sf "$found" "$target"
  exit
fi
echo "redis-server is missing: the tests of shared limits are skipped here. Install it to run them." >&2
