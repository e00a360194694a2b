#!/bin/sh
# Says whether a helper binary is fit to ship: static, small, quick to start.
set -eu
helper=${1:?usage: check-static.sh HELPER}
linked=$(ldd "$helper" 2>&1 || true)
case $linked in
  *"statically linked"* | *"not a dynamic executable"*) ;;
  *) echo "$helper is not static: $linked" >&2; exit 1 ;;
esac
size=$(stat -c %s "$helper")
# It was under 6.5 MB until it mounted, too, and should be again: ring instead of aws-lc would save 0.7.
if [ "$size" -ge 7000000 ]; then
  echo "$helper has $size bytes, 7,000,000 is the limit" >&2
  exit 1
fi
"$helper" --version >/dev/null
echo "$helper: statically linked, $size bytes"
