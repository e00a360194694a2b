#!/bin/sh
# Builds the guest from Debian packages alone: build.sh SUITE FOLDER OVERLAY. Leaves FOLDER/vmlinux and
# FOLDER/root.img (a partition without its table, for a disk that begins with 1 MiB of room). Needs root.
set -eu
suite=$1 folder=$2 overlay=$3
root=$folder/root

packages=systemd,systemd-sysv,udev,kmod,iproute2,fdisk
packages=$packages,lvm2,thin-provisioning-tools,mdadm,cryptsetup-bin,e2fsprogs,xfsprogs,btrfs-progs

# The kernel is unpacked, not installed: its installation would want an initramfs, which nobody boots.
mmdebstrap --quiet --variant=minbase --format=directory --include="$packages" \
  --aptopt='Apt::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --customize-hook='chroot "$1" sh -ec "cd /tmp; apt-get download -qq \$(apt-cache depends linux-image-cloud-amd64 | sed -n \"s/ *Depends: \(linux-image[^ ]*\).*/\1/p\")"' \
  --customize-hook='dpkg-deb --fsys-tarfile "$1"/tmp/linux-image*.deb | tar -x --keep-directory-symlink -C "$1"' \
  --customize-hook='rm "$1"/tmp/*.deb; chroot "$1" sh -c "depmod -a \$(ls /lib/modules)"' \
  "$suite" "$root"

cp -r "$overlay"/. "$root"/

# QEMU boots an uncompressed kernel by its PVH entry. Debian's cloud kernel is LZ4 behind a real-mode
# loader; lz4 complains about what follows the stream, so the result is judged by its first bytes.
kernel=$(ls "$root"/boot/vmlinuz-*)
offset=$(LC_ALL=C grep -obUaP -m1 '\x02\x21\x4c\x18' "$kernel" | head -n 1 | cut -d: -f1)
tail -c "+$((offset + 1))" "$kernel" | lz4 -dcq >"$folder/vmlinux" 2>/dev/null || true
[ "$(head -c 4 "$folder/vmlinux" | tail -c 3)" = ELF ] || { echo "no kernel found in $kernel" >&2; exit 1; }
rm -r "$root"/boot/*

mke2fs -q -t ext4 -d "$root" -E offset=1048576,root_owner=0:0 "$folder/root.img" 700M >/dev/null
rm -r "$root"
