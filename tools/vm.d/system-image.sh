# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs in the root of a machine to be (tools/root's way: /src, /out). In: the
# size of the disk, files in /out/files. Out: /out/disk.img with a DOS partition
# table, GRUB in front of the one partition, and this root in it as ext4.
set -eu
size=$1
uuid=3d4fa09c-6a1b-4f0e-9d52-0b1c7e0f5a11
offset=1048576

# How the root was made is no matter of the machine's.
rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap
# Nobody reads these there: an emulated machine replicates a few MiB a second.
find /usr/share/doc -mindepth 1 -maxdepth 1 ! -name 'blkferry*' -exec rm -rf {} +
rm -rf /usr/share/locale/* /usr/share/info/* /var/cache/apt/* /var/lib/apt/lists/*
cp -a /out/files/. /

echo system >/etc/hostname
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >/etc/fstab
cat >/etc/systemd/network/net.network <<'END'
[Match]
Type=ether
[Network]
DHCP=ipv4
END
systemctl enable systemd-networkd.service
passwd -d root

version=$(basename /lib/modules/*-cloud-amd64)
mkdir -p /boot/grub
cat >/boot/grub/grub.cfg <<END
set timeout=0
menuentry Debian {
	search --no-floppy --fs-uuid --set=root $uuid
	linux /boot/vmlinuz-$version root=UUID=$uuid ro console=ttyS0 quiet no_timer_check mitigations=off
	initrd /boot/initrd.img-$version
}
END

# Without the mounts on it.
mount --bind / /mnt
rm -f /out/disk.img
truncate -s "$size" /out/disk.img
echo 'start=2048, type=83, bootable' | sfdisk -q /out/disk.img
blocks=$((($(stat -c %s /out/disk.img) - offset) / 4096))
mke2fs -q -t ext4 -b 4096 -U "$uuid" -d /mnt -E offset=$offset /out/disk.img $blocks

# The boot sector looks for its second part where we put it: at sector 1.
grub=/usr/lib/grub/i386-pc
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /tmp/core.img \
	biosdisk part_msdos ext2 normal linux search search_fs_uuid echo
[ "$(stat -c %s /tmp/core.img)" -le $((2047 * 512)) ]
dd if=$grub/boot.img of=/out/disk.img bs=440 count=1 conv=notrunc status=none
dd if=/tmp/core.img of=/out/disk.img bs=512 seek=1 conv=notrunc status=none
