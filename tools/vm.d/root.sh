# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Roots of Debian releases in which packages are built, installed and removed.
# A root is made once and kept in the cache; what runs in it runs on an overlay
# in a mount namespace of its own, so that nothing stays of it.

# shellcheck source=tools/vm.d/kernel.sh
. "$(dirname "${BASH_SOURCE[0]}")/kernel.sh"

make_package_root() {
	local suite=$1 out=$2 sources
	sources=$(foreign_sources "$suite" "$3")
	# shellcheck disable=SC2016  # the hooks expand $1 themselves
	mmdebstrap --quiet --mode=root --variant=apt --include=build-essential \
		--customize-hook="mkdir -p \"\$1/recipe\" && cp -r '$top/dkms/debian' \"\$1/recipe/\"" \
		--customize-hook='chroot "$1" sh -s <'"$vm_d/package-root.sh" \
		"$suite" "$out" - <<<"$sources" >&2
}

make_package_root_anyhow() {
	make_package_root "$1" "$2" security && return
	rm -rf --one-file-system "$2"
	say "$1: without its security suite"
	make_package_root "$1" "$2" main
}

# package_root SUITE: prints the directory of its root.
package_root() {
	local key
	[ "$(id -u)" -eq 0 ] || die "making a root of $1 needs to be root"
	key=root/$1-$(cat "$vm_d/package-root.sh" "$top/dkms/debian/control" | key_of)
	cached "$key" make_package_root_anyhow "$1" || return 1
	echo "$cache/$key"
}

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
