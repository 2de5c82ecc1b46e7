#!/usr/bin/env bash
# Put a link to Chromium at $1: the pages are tested in it. Installed from Debian where it is missing
# and this may install.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

target=$1
if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  packages=(chromium fonts-liberation)
  if ! { apt-get -qq install -y --no-install-recommends "${packages[@]}" ||
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${packages[@]}"; }; } \
    >"$log" 2>&1; then
    cat "$log" >&2
  fi
fi
if found=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
  ln -sf "$found" "$target"
  exit
fi
echo "Chromium is missing: the tests of the pages are skipped here. Install it to run them," >&2
echo "on Debian as root: apt-get install chromium" >&2
