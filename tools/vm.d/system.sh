# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A whole Debian 12 machine: a disk image that a BIOS boots by the GRUB in it
# into systemd, with PostgreSQL and with blkferry installed from its packages,
# the module built by DKMS. In: files to lay over it. Out: the image, and QEMU
# running it.

# shellcheck source=tools/vm.d/root.sh
. "$(dirname "${BASH_SOURCE[0]}")/root.sh"
# shellcheck source=tools/vm.d/accel.sh
. "$(dirname "${BASH_SOURCE[0]}")/accel.sh"

# The last line: what the command's package depends on.
system_packages=(systemd-sysv udev dbus iproute2 procps kmod jq e2fsprogs
	initramfs-tools linux-image-cloud-amd64 linux-headers-cloud-amd64 dkms
	grub-pc-bin grub-common fdisk postgresql
	libnl-genl-3-200 liburing2 libzstd1 libssl3 libblkid1 libjansson4
	libxxhash0 libpopt0 libsmartcols1 libmount1 libsystemd0 libini-config5
	libmicrohttpd12 libncursesw6 libarchive13)

make_system_root() {
	local out=$1 list
	list=$(IFS=, && echo "${system_packages[*]}")
	foreign_sources bookworm security |
		mmdebstrap --quiet --mode=root --variant=apt --include="$list" \
			--dpkgopt=force-unsafe-io \
			bookworm "$out" - >&2
}

# system_root: prints the directory of the machine's root, without blkferry.
system_root() {
	local key
	[ "$(id -u)" -eq 0 ] || die "making a machine's root needs to be root"
	key=root/system-$({ declare -f make_system_root
		echo "${system_packages[*]}"; } | key_of)
	cached "$key" make_system_root || return 1
	echo "$cache/$key"
}

# What is made of the tree anew whenever it changes is not kept for long.
forget_old() {
	find "$cache/$1" -mindepth 1 -maxdepth 1 -mmin +1440 \
		-exec rm -rf --one-file-system {} + 2>/dev/null || :
}

make_system_debs() { "$top/tools/deb" "$1" >&2; }

# system_debs: prints the directory of the packages of this tree.
system_debs() {
	local key
	key=debs/$(cd "$top" && find Kbuild Makefile LICENSES README.md dkms include \
		kmod user tools/deb -type f -exec sha256sum {} + | sort | key_of)
	forget_old debs
	cached "$key" make_system_debs || return 1
	echo "$cache/$key"
}

# system_installed: prints LAYER:ROOT, the machine's root with the packages.
system_installed() {
	local root debs key
	root=$(system_root) && debs=$(system_debs) || return 1
	key=layer/$(echo "$root $debs" | key_of)
	forget_old layer
	cached "$key" new_layer "$root" "$debs" sh -c 'dpkg -i /out/*.deb >&2' || return 1
	echo "$cache/$key:$root"
}

# system_image DIR SIZE: DIR/disk.img with the packages of this tree and the
# files in DIR/files, which are laid over the root as they are.
system_image() {
	local root
	root=$(system_installed) || return 1
	in_root "$root" "$1" sh /src/tools/vm.d/system-image.sh "$2"
}

# system_qemu ARGUMENT...: sets the array args to a machine with these.
system_qemu() {
	local accel
	accel=$(accel_of "$(kernel_dir 6.1)") || exit 125
	args=(-machine q35 -nodefaults -display none -no-reboot -no-user-config
		-m 1024 -smp 2 -rtc base=utc -device virtio-serial-pci)
	if [ "$accel" = kvm ]; then
		args+=(-accel kvm -cpu host)
	else
		args+=(-accel "tcg,thread=multi" -cpu "max,la57=off")
	fi
	args+=("$@")
}

# system_disk FILE [FORMAT] [PROPERTY...]: QEMU's words for one more disk.
system_disk() {
	local id=disk${#args[@]}
	args+=(-drive "if=none,id=$id,format=${2:-raw},file=$1,cache=unsafe,discard=unmap"
		-device "virtio-blk-pci,drive=$id${3:+,$3}")
}

# system_port NAME FILE: what the guest writes to that port.
system_port() {
	args+=(-chardev "file,id=$1,path=$2"
		-device "virtserialport,chardev=$1,name=$1")
}
