# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Programs for the guest whose packages would start daemons or change udev's rules
# here: they are fetched and unpacked, with the libraries that this machine lacks,
# and never installed. In: apt's sources. Out: one tree in the cache.

# shellcheck source=tools/vm.d/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unpacked_packages="smartmontools multipath-tools udev sg3-utils-udev dmsetup hdparm"
unpacked_programs="smartctl smartd multipath multipathd udevadm hdparm"

# What apt would install of them, one "name=version" a line; all of them even
# where one is installed, so that the tree is whole.
unpacked_list() {
	{
		# shellcheck disable=SC2086  # a list
		apt-cache --no-all-versions show $unpacked_packages |
			awk '/^Package:/ { name = $2 } /^Version:/ { print name "=" $2 }'
		# shellcheck disable=SC2086
		apt-get -s --no-install-recommends install $unpacked_packages |
			sed -nE 's/^Inst ([^ ]+) (\[[^]]*\] )?\(([^ ]+) .*/\1=\3/p'
	} | sort -u
}

fetch_unpacked() {
	local list=$1 out=$2 dir deb
	dir=$(dirname "$out")/debs
	mkdir -p "$dir" "$out"
	# shellcheck disable=SC2086  # a list
	(cd "$dir" && apt-get -q download $list >&2) || return 1
	for deb in "$dir"/*.deb; do
		dpkg-deb -x "$deb" "$out" || return 1
	done
}

unpacked_tree=""

find_unpacked() {
	local list key
	list=$(unpacked_list)
	[ -n "$list" ] || return 1
	key=unpacked/$(key_of <<<"$list")
	cached "$key" fetch_unpacked "$(tr '\n' ' ' <<<"$list")" || return 1
	unpacked_tree=$cache/$key
}

# need_unpacked PROGRAM: sets unpacked_tree if it is one of these.
need_unpacked() {
	[[ " $unpacked_programs " = *" $1 "* ]] || return 0
	[ -z "$unpacked_tree" ] || return 0
	find_unpacked && return
	# The archive keeps only the newest: follow it.
	apt_run update
	find_unpacked || die "apt could not fetch $unpacked_packages"
}

# unpacked_path PROGRAM: in that tree.
unpacked_path() {
	local at
	[ -n "$unpacked_tree" ] || return 1
	[[ " $unpacked_programs " = *" $1 "* ]] || return 1
	for at in usr/sbin usr/bin sbin bin; do
		[ ! -x "$unpacked_tree/$at/$1" ] || { echo "$unpacked_tree/$at/$1" && return; }
	done
	return 1
}

# A file of the tree or of this machine as the guest is to see it.
guest_path() { echo "/${1#"$cache"/unpacked/*/}" | tr -s /; }
