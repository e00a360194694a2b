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
if [ "$size" -ge 6500000 ]; then
  echo "$helper has $size bytes, 6,500,000 is the limit" >&2
  exit 1
fi
"$helper" --version >/dev/null
echo "$helper: statically linked, $size bytes"
