#!/bin/sh
# Everything that a release consists of, in dist/: called by `make package`. Builds what can be built here and says
# what not; with STILLFRAME_REQUIRE=1 what is missing is an error.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
dist=dist
rm -rf "$dist"
mkdir -p "$dist"

missing() {
  echo "left out: $*" >&2
  [ "${STILLFRAME_REQUIRE:-0}" != 1 ] || exit 1
}
has() { command -v "$1" >/dev/null; }

# The helpers: musl, so that no name service module of the instance is ever loaded into a static file.
installed=$(rustc --print sysroot)/lib/rustlib
helpers=''
for pair in x86_64:x86_64-unknown-linux-musl arm64:aarch64-unknown-linux-musl; do
  architecture=${pair%%:*} target=${pair#*:}
  if [ ! -d "$installed/$target" ] || ! has cargo-zigbuild; then
    missing "the helper for $architecture (rustup target add $target; pip install cargo-zigbuild ziglang)"
    continue
  fi
  RUSTFLAGS='-C target-feature=+crt-static' \
    cargo zigbuild --locked --profile helper --package stillframe-helper --target "$target"
  helpers="$helpers $architecture=target/$target/helper/stillframe-helper"
  if has cargo-deb; then
    cargo deb --locked --no-build --no-strip --package stillframe-helper --profile helper --target "$target" --output "$dist/"
  else
    missing "the .deb for $architecture (cargo install cargo-deb)"
  fi
  if has cargo-generate-rpm; then
    cargo generate-rpm --package helper --profile helper --target "$target" --output "$dist/"
  else
    missing "the .rpm for $architecture (cargo install cargo-generate-rpm)"
  fi
done
# shellcheck disable=SC2086 # one word for each helper
[ -z "$helpers" ] || infra/install/package.sh "$version" "$dist" $helpers
if [ -d "$dist/distributor" ]; then
  (cd "$dist/distributor" && zip -q -X "../stillframe-helper-$version-distributor.zip" ./*)
  rm -r "$dist/distributor"
fi

# The functions, for both processors of Lambda.
for architecture in arm64 x86_64; do
  if ! has cargo-lambda; then
    missing "the functions for $architecture (pip install cargo-lambda)"
    continue
  fi
  flag=--x86-64
  [ "$architecture" = x86_64 ] || flag=--arm64
  cargo lambda build --locked --release "$flag" --output-format zip --package stillframe-lambda
  for zip in target/lambda/*/bootstrap.zip; do
    function=$(basename "$(dirname "$zip")")
    cp "$zip" "$dist/stillframe-$version-$function-$architecture.zip"
  done
done

if has cargo-cyclonedx; then
  cargo cyclonedx --format json --quiet
  for package in helper lambda; do
    mv "$package/stillframe-$package.cdx.json" "$dist/stillframe-$package-$version.cdx.json"
  done
  # It writes one beside every other member too.
  find . -name '*.cdx.json' -not -path "./$dist/*" -not -path './target/*' -delete
else
  missing "the bill of materials (cargo install cargo-cyclonedx)"
fi

cp infra/template.yaml "$dist/stillframe-$version-template.yaml"
cd "$dist"
rm -f SHA256SUMS
sums=$(sha256sum -- *)
echo "$sums" | tee SHA256SUMS
