#!/usr/bin/env bash
# Put promtool at $1: it checks the alert rules and the dashboard in deploy/.
# Debian has it inside the package of the server, which is not installed for it.
set -euo pipefail

target=$PWD/$1
if found=$(command -v promtool); then
  ln -sf "$found" "$target"
  exit
fi
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cd "$folder"
  if { apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; } \
    >apt.log 2>&1; then
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool
    install -m 755 promtool "$target"
    exit
  fi
  cat apt.log >&2
fi
echo "promtool is missing: the checks of deploy/ are skipped here. Install Prometheus to run them." >&2
