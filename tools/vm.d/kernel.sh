# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Kernel columns: which Debian release a column comes from, its image and
# modules, and the blkferry module built for it by that release's compiler, for
# other releases than this one by DKMS from the package itself.
# The machine's own apt configuration says where packages come from.

# shellcheck source=tools/vm.d/overlay.sh
. "$(dirname "${BASH_SOURCE[0]}")/overlay.sh"
# shellcheck source=tools/vm.d/checked/kernel.sh
. "$(dirname "${BASH_SOURCE[0]}")/checked/kernel.sh"

vm_d=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The cloud kernels of four releases; of this release also "generic" and "rt", and
# those that checked/kernel.sh builds, "fault" and "races".
columns="5.10 6.1 6.12 7"
more_columns="generic rt fault races"

column_suite() {
	case $1 in
	5.10) echo bullseye ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	7) echo trixie-backports ;;
	*) die "unknown kernel column '$1'; there are: $columns $more_columns" ;;
	esac
}

host_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# The mirror with LABEL (Debian, Debian-Security) that this machine uses.
apt_mirror() {
	# shellcheck disable=SC2016  # apt's own variables
	apt-get indextargets --format '$(LABEL) $(CODENAME) $(REPO_URI)' \
		'Created-By: Packages' |
		awk -v label="$1" -v codename="$2" \
			'$1 == label && $2 == codename { print $3; exit }'
}

# native_version FLAVOUR: what the installed header package names, such as
# 6.1.0-56-cloud-amd64.
native_version() {
	# shellcheck disable=SC2016  # dpkg's own variable
	dpkg-query -W -f '${Depends}\n' "linux-headers-$1" 2>/dev/null |
		sed -n "s/.*linux-headers-\([^ ,]*-$1\) *(= *\([^)]*\)).*/\1 \2/p"
}

fetch_native_image() {
	local version=$1 package=$2 out=$3 dir
	dir=$(dirname "$out")
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root \
		download "linux-image-$version=$package" >&2) &&
		dpkg-deb -x "$dir"/linux-image-*.deb "$dir/x" &&
		lay_out "$dir/x" "$version" "$out" &&
		ln -s "/lib/modules/$version/build" "$out/headers"
}

# lay_out EXTRACTED VERSION OUT: boot image and modules where tools/vm looks.
lay_out() {
	local modules=$1/lib/modules/$2 image=$1/boot/vmlinuz-$2
	[ -d "$modules" ] || modules=$1/usr/lib/modules/$2
	[ -f "$image" ] || image=$modules/vmlinuz
	mkdir -p "$3/lib/modules" &&
		cp "$image" "$3/vmlinuz" &&
		mv "$modules" "$3/lib/modules/" &&
		depmod -b "$3" "$2" &&
		echo "$2" >"$3/version"
}

# native_column FLAVOUR
native_column() {
	local version package
	read -r version package < <(native_version "$1")
	if [ -z "$version" ] || ! cached "kernel/$version-$package" \
		fetch_native_image "$version" "$package"; then
		# The archive keeps only the newest: follow it.
		apt_run update
		apt_run install -y "linux-headers-$1" >&2
		read -r version package < <(native_version "$1")
		cached "kernel/$version-$package" \
			fetch_native_image "$version" "$package" || return 1
	fi
	echo "$cache/kernel/$version-$package"
}

foreign_sources() {
	local suite=$1 base=${1%-backports} mirror security sign
	mirror=$(apt_mirror Debian "$(host_suite)")
	security=$(apt_mirror Debian-Security "$(host_suite)-security")
	[ -n "$mirror" ] || die "apt knows no Debian mirror: run apt-get update"
	sign="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
	echo "deb [$sign] $mirror $base main"
	[ "$suite" = "$base" ] || echo "deb [$sign] $mirror $suite main"
	if [ "$2" = security ] && [ -n "$security" ]; then
		echo "deb [$sign] $security $base-security main"
	fi
}

make_foreign_root() {
	local suite=$1 security=$2 out=$3 sources from=""
	sources=$(foreign_sources "$suite" "$security")
	case $suite in
	*-backports) from=$suite ;;
	esac
	# shellcheck disable=SC2016  # the hook expands $1 itself
	mmdebstrap --quiet --mode=root --variant=apt \
		--dpkgopt=force-unsafe-io \
		--include=gcc,make,libc6-dev,kmod,dkms \
		--customize-hook='chroot "$1" sh -s -- '"$from <$vm_d/release-root.sh" \
		"${suite%-backports}" "$out" - <<<"$sources" >&2
}

make_foreign_column() {
	local suite=$1 out=$2 root version
	root=$(dirname "$out")/root
	make_foreign_root "$suite" security "$root" || {
		rm -rf --one-file-system "$root"
		say "$suite: without its security suite"
		make_foreign_root "$suite" main "$root" || return 1
	}
	version=$(ls "$root/lib/modules") &&
		lay_out "$root/x" "$version" "$out" &&
		rm -rf "$root/x" &&
		mv "$root" "$out/root"
}

foreign_column() {
	local suite=$1 key
	[ "$(id -u)" -eq 0 ] || die "making a root of $suite needs to be root"
	key=kernel/$suite-$(key_of <"$vm_d/release-root.sh")
	cached "$key" make_foreign_column "$suite" || return 1
	echo "$cache/$key"
}

# kernel_dir COLUMN: prints a directory with vmlinuz, version, lib/modules and
# headers (this release) or root (another release).
kernel_dir() {
	case $1 in
	fault | races) checked_column "$1" ;;
	generic) native_column amd64 ;;
	rt) native_column rt-amd64 ;;
	*) release_column "$1" ;;
	esac
}

release_column() {
	local suite
	suite=$(column_suite "$1") || exit
	if [ "$suite" = "$(host_suite)" ]; then
		native_column cloud-amd64
	else
		foreign_column "$suite"
	fi
}

module_key() {
	local dir=$1
	{
		cat "$dir/version"
		echo "${MISTAKES:-}"
		cd "$top" && find Kbuild kmod include/uapi dkms tools/build-module tools/deb \
			-type f -exec sha256sum {} + | sort
	} | key_of
}

build_native() {
	local b
	b=$(dirname "$2")/b
	"$top/tools/build-module" "$1/headers" "$b" >&2 &&
		find "$b" -name blkferry.ko -exec cp {} "$2" \;
}

# As an administrator there would: the package is installed, DKMS does the rest.
build_foreign() {
	local dir=$1 out=$2 b ko
	b=$(dirname "$out")/b
	"$top/tools/deb" --dkms-only "$b" >&2 || return
	# shellcheck disable=SC2016  # expanded by the inner shell
	in_root "$dir/root" "$b" sh -ec 'dpkg -i /out/*.deb
		cp "/lib/modules/$1/updates/dkms/blkferry.ko"* /out/' \
		sh "$(cat "$dir/version")" >&2 || return
	ko=$(find "$b" -name 'blkferry.ko*')
	case $ko in
	*.xz) xz -dc "$ko" >"$out" ;;
	*.ko) cp "$ko" "$out" ;;
	*) die "DKMS left a module of an unknown kind: '$ko'" ;;
	esac
}

# module_for KERNEL_DIR: prints the path of blkferry.ko, built if need be.
module_for() {
	local dir=$1 key how=build_native
	[ -f "$top/Kbuild" ] && [ -x "$top/tools/build-module" ] || return 1
	[ -d "$dir/root" ] && how=build_foreign
	key=module/$(module_key "$dir").ko
	cached "$key" "$how" "$dir" || return 1
	echo "$cache/$key"
}
