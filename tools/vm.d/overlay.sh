# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Runs commands in a root of another release, on an overlay and in a mount
# namespace of its own: nothing of them stays in the root.

# shellcheck source=tools/vm.d/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# on_overlay WORK ROOT OUT COMMAND...: what COMMAND changes lies in WORK/upper.
on_overlay() {
	local work=$1 root=$2 out=$3
	shift 3
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
	' bash "$work" "$root" "$top" "$out" "$@"
}

# in_root ROOT OUT COMMAND...: COMMAND sees the tree in /src and OUT in /out. ROOT
# may be LAYER:ROOT.
in_root() {
	local root=$1 out=$2 work status=0
	shift 2
	mkdir -p "$out" "$cache/run"
	work=$(mktemp -d "$cache/run/XXXXXX")
	on_overlay "$work" "$root" "$out" "$@" || status=$?
	rm -rf --one-file-system "$work"
	return "$status"
}

# new_layer ROOT OUT COMMAND... LAYER: what COMMAND changes in ROOT is kept as LAYER.
new_layer() {
	local root=$1 out=$2 layer=${*: -1} work status=0
	work=$(mktemp -d "$(dirname "$layer")/XXXXXX")
	on_overlay "$work" "$root" "$out" "${@:3:$#-3}" &&
		mv -T "$work/upper" "$layer" || status=$?
	rm -rf --one-file-system "$work"
	return "$status"
}
