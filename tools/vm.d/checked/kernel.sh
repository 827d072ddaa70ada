# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Checked kernels: Debian's own source of this release, configured to find
# faults (fault.config) or races (races.config) in what machine.config can run.
# Out: a directory as of any other column, with the tree that modules are built
# against in headers.

# shellcheck source=tools/vm.d/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

checked_d=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# "NAME VERSION" of the package that apt would take the source from.
kernel_source() {
	local name version
	name=$(apt-cache depends linux-source 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-source-[^ ]*\)$/\1/p')
	[ -n "$name" ] || return 1
	version=$(apt-cache policy "$name" | sed -n 's/^ *Candidate: //p')
	echo "$name $version"
}

unpack_source() {
	local package=$1 dir=$2
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) &&
		dpkg-deb -x "$dir/${package%%=*}"_*.deb "$dir/x" &&
		mkdir "$dir/source" &&
		tar -xf "$dir/x/usr/src/${package%%=*}.tar.xz" -C "$dir/source" \
			--strip-components=1 &&
		rm -rf "$dir/x" "$dir"/*.deb
}

# What the configuration asks for is what came out of it.
configure() {
	local config=../wanted line lost=""
	cat "$checked_d/machine.config" "$checked_d/$1.config" >$config
	KCONFIG_ALLCONFIG=$config make -s allnoconfig >&2 || return 1
	while read -r line; do
		grep -qxF -- "$line" .config || lost+=" $line"
	done < <(grep '^CONFIG_' $config)
	[ -z "$lost" ] || die "this kernel's configuration does not take:$lost"
}

# Only what building a module needs stays of the tree.
prune() {
	find . -name '*.o' -delete
	find . -mindepth 1 -maxdepth 1 ! -name include ! -name arch ! -name scripts \
		! -name tools ! -name Makefile ! -name Kconfig ! -name Kbuild \
		! -name .config ! -name Module.symvers -exec rm -rf {} +
	find arch -mindepth 1 -maxdepth 1 ! -name x86 ! -name Kconfig -exec rm -rf {} +
	find tools -mindepth 1 -maxdepth 1 ! -name objtool ! -name include \
		! -name scripts ! -name build -exec rm -rf {} +
}

build_in_tree() {
	local name=$1 out=$2 version
	configure "$name" || return 1
	make -s -j"$(nproc)" LOCALVERSION="-$name" KBUILD_BUILD_USER=test \
		KBUILD_BUILD_HOST=test bzImage modules >&2 || return 1
	version=$(cat include/config/kernel.release)
	mkdir -p "$out" &&
		cp arch/x86/boot/bzImage "$out/vmlinuz" &&
		make -s INSTALL_MOD_PATH="$out" modules_install >&2 &&
		rm -f "$out/lib/modules/$version"/{build,source} &&
		echo "$version" >"$out/version" &&
		prune
}

make_checked_kernel() {
	local package=$1 name=$2 out=$3 dir
	dir=$(dirname "$out")
	unpack_source "$package" "$dir" || return 1
	(cd "$dir/source" && build_in_tree "$name" "$out") || return 1
	mv "$dir/source" "$out/headers"
}

# checked_column NAME: prints the directory.
checked_column() {
	local package version key
	read -r package version < <(kernel_source) || {
		apt_run update
		read -r package version < <(kernel_source)
	}
	[ -n "$version" ] || die "apt knows no linux-source: run apt-get update"
	key=kernel/$1-$version-$({
		cat "$checked_d"/kernel.sh "$checked_d"/machine.config "$checked_d/$1.config"
		gcc --version
	} | key_of)
	cached "$key" make_checked_kernel "$package=$version" "$1" || return 1
	echo "$cache/$key"
}
