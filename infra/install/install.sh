#!/bin/sh
# Installs or upgrades stillframe-helper. Run by the document Stillframe-Install, by the Distributor package and
# by cloud-init; all say what they want in the environment:
#
#   SSM_source       folder with the archives: https://HOST/PATH, s3://BUCKET/PATH or /PATH
#   SSM_version      0.1.0
#   SSM_sha256Arm64, SSM_sha256X8664   SHA-256 of the archive for each architecture; none where there is none
#
# Nothing is believed of the source: what does not have the digest is not unpacked. The helper is replaced by a
# rename, while no freeze is under way and none can begin. If it does worse than the one before
# (`stillframe-helper doctor`), that one comes back. Run again with the same version it changes nothing.
#
# Exit codes: 0 as wanted; 1 nothing was changed; 2 the former helper came back; 11 installed, and the doctor says
# that a freeze would not work on this instance yet.
set -eu
umask 022

bin=${STILLFRAME_BIN:-/usr/bin}
units=${STILLFRAME_UNITS:-/usr/lib/systemd/system}
run=${STILLFRAME_RUN:-/run/stillframe}
# How long a freeze that is under way is waited for: the longest takes 30 seconds, and its flush two minutes.
patience=${STILLFRAME_PATIENCE:-180}
helper=$bin/stillframe-helper
stage=

say() { echo "stillframe install: $*" >&2; }
fail() { say "$*"; exit 1; }
cleanup() { if [ -n "$stage" ]; then rm -rf "$stage"; fi; }
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# An agent older than 3.3.2746.0 passes no variables: end here rather than guess.
: "${SSM_source:?SSM_source is not set; from Systems Manager this takes SSM agent 3.3.2746.0 or later}"
: "${SSM_version:?SSM_version is not set}"
case $SSM_version in
  *[!0-9A-Za-z.-]*) fail "the version $SSM_version is none" ;;
esac

case $(uname -m) in
  aarch64 | arm64) architecture=arm64 digest=${SSM_sha256Arm64:-none} ;;
  x86_64 | amd64) architecture=x86_64 digest=${SSM_sha256X8664:-none} ;;
  *) fail "there is no helper for $(uname -m)" ;;
esac
[ "$digest" != none ] || fail "no digest is given for $architecture"

if [ "$("$helper" --version 2>/dev/null || true)" = "stillframe-helper $SSM_version" ]; then
  say "$SSM_version is installed"
  exit 0
fi

# Beside its place, so that a rename suffices; not in /tmp, which may forbid execution.
stage=$(mktemp -d "$bin/.stillframe-install.XXXXXX")
name=stillframe-helper-$SSM_version-$architecture.tar.gz
case $SSM_source in
  https://*)
    command -v curl >/dev/null || fail "https:// takes curl, which is not installed"
    curl --fail --silent --show-error --location --proto '=https' --proto-redir '=https' --retry 3 --max-time 300 \
      --output "$stage/$name" "$SSM_source/$name" || fail "failed to fetch $SSM_source/$name" ;;
  s3://*)
    command -v aws >/dev/null || fail "s3:// takes the AWS CLI, which is not installed; use https://"
    aws s3 cp --only-show-errors "$SSM_source/$name" "$stage/$name" || fail "failed to fetch $SSM_source/$name" ;;
  /*) cp "$SSM_source/$name" "$stage/$name" || fail "failed to read $SSM_source/$name" ;;
  *) fail "the source $SSM_source is neither https:// nor s3:// nor a folder" ;;
esac
found=$(sha256sum "$stage/$name")
found=${found%% *}
[ "$found" = "$digest" ] || fail "$name has the digest $found and not $digest; nothing was changed"
tar -xzf "$stage/$name" -C "$stage" --no-same-owner --no-same-permissions || fail "failed to unpack $name"
new=$stage/stillframe-helper
[ -f "$new" ] && [ ! -L "$new" ] || fail "$name holds no stillframe-helper"
chmod 0755 "$new"
says=$("$new" --version) || fail "the helper of $name does not start on this instance"
[ "$says" = "stillframe-helper $SSM_version" ] || fail "$name holds $says and not $SSM_version"

# 0 or 11 is a judgement of the instance; anything else is a helper that does not work.
doctor() { "$1" doctor >"$stage/doctor" 2>&1 && return 0 || return "$?"; }

# The helper's own lock: whoever holds it freezes, or guards. Held to the end, so that no freeze begins with a helper
# that has not proved itself; an order that comes meanwhile is refused as busy, and falls back as its policy says.
[ -d "$run" ] || mkdir -m 0700 "$run"
[ -e "$run/lock" ] || (umask 177 && : >>"$run/lock")
exec 9<"$run/lock"
lock() { flock -w "$patience" 9 || fail "a freeze has been under way for $patience seconds; nothing was changed"; }
lock
if [ -e "$run/lease.json" ]; then
  # Nobody holds the lock and a lease is left: somebody died frozen. The helper that froze knows best how to undo
  # it, and needs the lock for it.
  flock -u 9
  "$helper" thaw >/dev/null || fail "what a former freeze has left could not be undone; nothing was changed"
  lock
fi

# Asked now, and not while a freeze or what one has left would count against the former helper.
before=none
if [ -x "$helper" ]; then
  doctor "$helper" && before=0 || before=$?
  cp -p "$helper" "$stage/former"
fi
sync -f "$new" 2>/dev/null || sync
mv -f "$new" "$helper"
if command -v restorecon >/dev/null; then restorecon "$helper" || true; fi
doctor "$helper" && after=0 || after=$?

if [ "$after" -ne 0 ] && { [ "$after" -ne 11 ] || [ "$before" = 0 ]; }; then
  cat "$stage/doctor" >&2
  if [ "$before" = none ]; then
    rm -f "$helper"
    fail "the doctor of $SSM_version ended with $after; it was taken away again"
  fi
  mv -f "$stage/former" "$helper"
  if command -v restorecon >/dev/null; then restorecon "$helper" || true; fi
  say "the doctor of $SSM_version ended with $after, that of the former one with $before; the former one is back"
  exit 2
fi
exec 9<&-

if [ -d "$stage/systemd" ] && [ -d "$units" ]; then
  for unit in "$stage"/systemd/*.service "$stage"/systemd/*.target; do
    [ -f "$unit" ] || continue
    install -m 0644 "$unit" "$units/.${unit##*/}.new"
    mv -f "$units/.${unit##*/}.new" "$units/${unit##*/}"
  done
  if [ -d /run/systemd/system ] && [ "$units" = /usr/lib/systemd/system ]; then
    systemctl daemon-reload
    systemctl --quiet enable stillframe-thaw.service || say "failed to enable stillframe-thaw.service"
  fi
fi

if [ "$after" -ne 0 ]; then
  cat "$stage/doctor" >&2
  say "$SSM_version is installed; a freeze would not work here yet, see above"
  exit 11
fi
say "$SSM_version is installed"
