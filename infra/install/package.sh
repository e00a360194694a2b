#!/bin/sh
# Packs what instances install, from helpers that are built already:
#
#   infra/install/package.sh VERSION OUTPUT arm64=HELPER x86_64=HELPER     (either may be missing)
#
# OUTPUT/stillframe-helper-VERSION-ARCHITECTURE.tar.gz   for Stillframe-Install, cloud-init and people
# OUTPUT/distributor/                                    a package of Systems Manager's Distributor: upload the folder
#                                                        to S3 and name it in create-document --attachments
# OUTPUT/install.sh                                      for cloud-init
# OUTPUT/SHA256SUMS, OUTPUT/parameters                   digests, and the same as parameters of the template
#
# The same helpers give the same archives, byte for byte.
set -eu
version=${1:?usage: package.sh VERSION OUTPUT ARCHITECTURE=HELPER...}
output=${2:?usage: package.sh VERSION OUTPUT ARCHITECTURE=HELPER...}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
house=$(cd "$here/../.." && pwd)
command -v zip >/dev/null || { echo "zip is not installed" >&2; exit 1; }
rm -rf "$output/distributor"
mkdir -p "$output/distributor"
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

: >"$output/parameters"
echo "HelperVersion=$version" >>"$output/parameters"
files='' packages=''
for pair in "$@"; do
  architecture=${pair%%=*} helper=${pair#*=}
  case $architecture in
    arm64) variable=SSM_sha256Arm64 parameter=HelperSha256Arm64 ;;
    x86_64) variable=SSM_sha256X8664 parameter=HelperSha256X8664 ;;
    *) echo "$architecture is neither arm64 nor x86_64" >&2; exit 1 ;;
  esac
  name=stillframe-helper-$version-$architecture
  tree=$work/$architecture
  mkdir -p "$tree/content/systemd" "$tree/package"
  install -m 0755 "$helper" "$tree/content/stillframe-helper"
  install -m 0644 "$house"/helper/systemd/*.service "$tree/content/systemd/"
  install -m 0644 "$house/LICENSE-APACHE" "$house/LICENSE-MIT" "$tree/content/"
  tar -C "$tree/content" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - . |
    gzip -n -9 >"$output/$name.tar.gz"
  digest=$(sha256sum "$output/$name.tar.gz")
  digest=${digest%% *}
  echo "$parameter=$digest" >>"$output/parameters"

  # Distributor runs install.sh, update.sh or uninstall.sh in the unpacked folder.
  cp "$output/$name.tar.gz" "$tree/package/"
  cp "$here/install.sh" "$tree/package/stillframe-install.sh"
  cp "$here/uninstall.sh" "$tree/package/uninstall.sh"
  cat >"$tree/package/install.sh" <<INSTALL
#!/bin/sh
# The doctor's judgement of the instance (11) is told, and is no failure of the package.
SSM_source=\$(pwd) SSM_version=$version $variable=$digest sh ./stillframe-install.sh
code=\$?
[ "\$code" -ne 11 ] || exit 0
exit "\$code"
INSTALL
  cp "$tree/package/install.sh" "$tree/package/update.sh"
  find "$tree/package" -exec touch -d @315532800 {} +
  (cd "$tree/package" && zip -q -X "$output/distributor/$name.zip" install.sh "$name.tar.gz" stillframe-install.sh \
    uninstall.sh update.sh)
  digest=$(sha256sum "$output/distributor/$name.zip")
  files="$files${files:+,}
    \"$name.zip\": {\"checksums\": {\"sha256\": \"${digest%% *}\"}}"
  packages="$packages${packages:+, }\"$architecture\": {\"file\": \"$name.zip\"}"
done
[ -n "$files" ] || { echo "no helper is given" >&2; exit 1; }

cat >"$output/distributor/manifest.json" <<MANIFEST
{
  "schemaVersion": "2.0",
  "publisher": "Stillframe",
  "description": "Freezes file systems for a snapshot of their volumes, and thaws them.",
  "version": "$version",
  "packages": {"_any": {"_any": {$packages}}},
  "files": {$files
  }
}
MANIFEST
install -m 0755 "$here/install.sh" "$output/install.sh"
(cd "$output" && sha256sum install.sh stillframe-helper-*.tar.gz distributor/*.zip distributor/manifest.json >SHA256SUMS)
cat "$output/SHA256SUMS"
