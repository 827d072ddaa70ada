# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Roots of Debian releases in which packages are built, installed and removed.
# A root is made once and kept in the cache; overlay.sh runs commands in it.

# shellcheck source=tools/vm.d/kernel.sh
. "$(dirname "${BASH_SOURCE[0]}")/kernel.sh"

make_package_root() {
	local suite=$1 out=$2 sources
	sources=$(foreign_sources "$suite" "$3")
	# shellcheck disable=SC2016  # the hooks expand $1 themselves
	mmdebstrap --quiet --mode=root --variant=apt --include=build-essential \
		--dpkgopt=force-unsafe-io \
		--customize-hook="mkdir -p \"\$1/recipe\" && cp -r '$top/dkms/debian' \"\$1/recipe/\"" \
		--customize-hook='chroot "$1" sh -s <'"$vm_d/package-root.sh" \
		"$suite" "$out" - <<<"$sources" >"$out.log" 2>&1 || {
		tail -n 40 "$out.log" >&2
		return 1
	}
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
