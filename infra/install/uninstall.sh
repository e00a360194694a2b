#!/bin/sh
# Takes stillframe-helper and its units away again, when no freeze is under way. Snapshots are left alone.
set -eu
bin=${STILLFRAME_BIN:-/usr/bin}
units=${STILLFRAME_UNITS:-/usr/lib/systemd/system}
run=${STILLFRAME_RUN:-/run/stillframe}
helper=$bin/stillframe-helper

fail() { echo "stillframe uninstall: $*" >&2; exit 1; }

if [ -e "$run/lock" ]; then
  exec 9<"$run/lock"
  flock -w "${STILLFRAME_PATIENCE:-180}" 9 || fail "a freeze is under way; nothing was changed"
  if [ -e "$run/lease.json" ]; then
    flock -u 9
    "$helper" thaw >/dev/null || fail "what a former freeze has left could not be undone; nothing was changed"
  fi
fi
for unit in "$units"/stillframe-*.service "$units"/stillframe-*.target; do
  [ -f "$unit" ] || continue
  if [ -d /run/systemd/system ] && [ "$units" = /usr/lib/systemd/system ]; then
    systemctl --quiet disable "${unit##*/}" || true
  fi
  rm -f "$unit"
done
rm -f "$helper"
if [ -d /run/systemd/system ] && [ "$units" = /usr/lib/systemd/system ]; then systemctl daemon-reload; fi
