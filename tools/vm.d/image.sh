# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The guest's initramfs, in two archives that the kernel unpacks one after the
# other: the base (host tools with their libraries, kernel modules; cached) and
# the overlay (init's configuration, the module, the files of this run).

# shellcheck source=tools/vm.d/unpacked.sh
. "$(dirname "${BASH_SOURCE[0]}")/unpacked.sh"

vm_d=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# What every guest has; --tool and --module add to it. The shell is a static
# one: under emulation it starts and forks four times faster. jq is gojq there,
# which does not compile its own library at each start (90 ms against 600), and
# sorts keys always, not on request.
base_tools="bash-static dd cmp stdbuf timeout setpriv kill blockdev blkdiscard \
	blkid losetup fallocate truncate findmnt fstrim fsfreeze mkfs.ext4 \
	e2fsck dmsetup gojq sg_inq sg_turs sg_readcap sg_write_same sg_unmap \
	sg_dd sg_raw sg_logs sg_modes sg_persist sg_sync partx sha256sum \
	seq mkswap swapon swapoff"
base_modules="virtio_pci virtio_console virtio_blk virtio_scsi sd_mod sg \
	virtio_net failover virtio_rng loop dm_mod dm_log_writes dm_flakey \
	scsi_debug null_blk brd configfs ext4 nvme tun veth zram"

# One /usr, as on the host: both archives must agree on it.
skeleton() {
	local name
	mkdir -p "$1"/usr/{bin,sbin,lib,lib64} \
		"$1"/{proc,sys,dev,run,tmp,mnt,etc,var/tmp,root}
	for name in bin sbin lib lib64; do
		ln -s "usr/$name" "$1/$name"
	done
}

# tool_path TOOL: what is unpacked goes before what is installed.
tool_path() {
	unpacked_path "$1" || type -P "$1" ||
		die "the guest wants $1: run tools/bootstrap test"
}

cpio_of() { (cd "$1" && find . -print0 | LC_ALL=C sort -z |
	cpio --quiet -0 -o -H newc -R 0:0); }

libraries_of() {
	local tree=$unpacked_tree
	LD_LIBRARY_PATH=${tree:+$tree/lib/x86_64-linux-gnu:$tree/usr/lib/x86_64-linux-gnu:$tree/lib} \
		ldd "$1" 2>/dev/null | grep -o '/[^ ]*'
}

# copy_file ROOT HOST [GUEST]: a file and, if it is a program, its libraries.
copy_file() {
	local root=$1 host=$2 guest=${3:-$2} lib at
	[ -e "$root$guest" ] || {
		mkdir -p "$root$(dirname "$guest")"
		cp -rL "$host" "$root$guest"
	}
	[ -f "$host" ] && [ "$(head -c 4 "$host" | tr -d '\0')" = $'\177ELF' ] ||
		return 0
	libraries_of "$host" | while read -r lib; do
		at=$root$(guest_path "$lib")
		[ -e "$at" ] && continue
		mkdir -p "$(dirname "$at")"
		cp -L "$lib" "$at"
	done
}

# The modules NAMES of KERNEL_DIR with all they depend on, as plain .ko.
copy_modules() {
	local root=$1 dir=$2 version file list
	shift 2
	version=$(cat "$dir/version")
	mkdir -p "$root/lib/modules/$version"
	list=$(modprobe -d "$dir" -S "$version" -a -D "$@") ||
		die "kernel $version lacks one of the modules: $*"
	awk '$1 == "insmod" { print $2 }' <<<"$list" | sort -u |
		while read -r file; do
			case $file in
			*.xz) xz -dc "$file" >"$root/lib/modules/$version/$(basename "${file%.xz}")" ;;
			*) cp "$file" "$root/lib/modules/$version/" ;;
			esac
		done
	cp "$dir/lib/modules/$version"/modules.{builtin,order} \
		"$root/lib/modules/$version/"
	depmod -b "$root" "$version" 2>/dev/null
}

make_base() {
	local dir=$1 tools=$2 modules=$3 out=$4 root tool path
	root=$(dirname "$out")/root
	skeleton "$root"
	cp "$(command -v busybox)" "$root/bin/busybox"
	link_applets "$root"
	for tool in $tools; do
		path=$(tool_path "$tool") || return 1
		rm -f "$root/bin/${path##*/}"
		copy_file "$root" "$path" "/usr/bin/${path##*/}"
	done
	ln -sf bash-static "$root/bin/bash"
	ln -sf gojq "$root/bin/jq"
	# Where the kernel asks for what it needs by a name, such as crypto-crc32c.
	ln -s ../bin/modprobe "$root/usr/sbin/modprobe"
	# shellcheck disable=SC2086  # lists
	copy_modules "$root" "$dir" $modules
	cp "$vm_d/init" "$root/init"
	chmod +x "$root/init"
	printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	cpio_of "$root" >"$out"
}

link_applets() {
	local applet
	busybox --list | grep -vx busybox | while read -r applet; do
		ln -s busybox "$1/bin/$applet"
	done
}

# base_image KERNEL_DIR TOOLS MODULES: prints the path of the cached archive.
base_image() {
	local dir=$1 tools="$base_tools $2" modules="$base_modules $3" key tool
	key=initramfs/$({
		echo "$dir" "$tools" "$modules"
		cat "$vm_d/init" "$vm_d/image.sh" "$vm_d/unpacked.sh"
		for tool in busybox $tools; do
			path=$(tool_path "$tool") || exit 1
			stat -L -c '%n %s %Y' "$path"
		done
	} | key_of).cpio || return 1
	cached "$key" make_base "$dir" "$tools" "$modules" || return 1
	echo "$cache/$key"
}
