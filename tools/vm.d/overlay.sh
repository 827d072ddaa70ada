# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Runs commands in a root of another release, on an overlay and in a mount
# namespace of its own: nothing of them stays in the root.

# shellcheck source=tools/vm.d/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# in_root ROOT OUT COMMAND...: COMMAND sees the tree in /src and OUT in /out.
in_root() {
	local root=$1 out=$2 work status=0
	shift 2
	mkdir -p "$out" "$cache/run"
	work=$(mktemp -d "$cache/run/XXXXXX")
	mkdir "$work"/{upper,work,root}
	# shellcheck disable=SC2016  # expanded by the inner shell
	unshare --mount --pid --fork --kill-child bash -ec '
		work=$1 root=$2 top=$3 out=$4
		shift 4
		mount -t overlay none -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" "$work/root"
		mkdir -p "$work"/root/{src,out}
		mount --bind "$top" "$work/root/src"
		mount --bind "$out" "$work/root/out"
		mount -t proc proc "$work/root/proc"
		mount -t sysfs -o ro sys "$work/root/sys"
		mount -t tmpfs tmpfs "$work/root/tmp"
		mount --bind /dev "$work/root/dev"
		exec chroot "$work/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
			LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
	' bash "$work" "$root" "$top" "$out" "$@" || status=$?
	rm -rf --one-file-system "$work"
	return "$status"
}
